// What a translator knows of a function of the table in cpu.h: the operation and the size of its
// elements. The rest (registers, scalar or vector, by element, immediates) it reads in the word.
#ifndef TRAPLINE_VMM_SOFT_FP_FP_FORM_H_
#define TRAPLINE_VMM_SOFT_FP_FP_FORM_H_

#include <cstdint>

namespace trapline::soft {

// FPSR cumulative bits (C5.2.9) and FPCR controls (C5.2.8).
enum : uint32_t { kIoc = 1, kDzc = 2, kOfc = 4, kUfc = 8, kIxc = 16, kIdc = 128, kQc = 1u << 27 };
enum : uint32_t { kRModeMask = 3u << 22, kFz = 1u << 24, kDn = 1u << 25, kAhp = 1u << 26 };

// By the mnemonic, where one row is one mnemonic.
enum class FpOp : uint8_t {
  kNone,  // the function's alone
  // moves
  kFmov,
  kFmovImmediate,
  kFmovToGeneral,
  kFmovFromGeneral,
  kFmovHighToGeneral,
  kFmovHighFromGeneral,
  kFcsel,
  // arithmetic
  kFabs,
  kFneg,
  kFsqrt,
  kFadd,
  kFsub,
  kFmul,
  kFnmul,
  kFdiv,
  kFmax,
  kFmin,
  kFmaxnm,
  kFminnm,
  kFabd,
  kFmadd,
  kFmsub,
  kFnmadd,
  kFnmsub,
  kFmla,
  kFmls,
  kFrecps,
  kFrsqrts,
  kFrecpe,
  kFrsqrte,
  kFaddp,
  // comparisons
  kFcmp,
  kFcmpZero,
  kFccmp,
  kFcmeq,
  kFcmge,
  kFcmgt,
  kFacge,
  kFacgt,
  kFcmeqZero,
  kFcmgeZero,
  kFcmgtZero,
  kFcmleZero,
  kFcmltZero,
  // conversions; to integers, by the rounding
  kFcvtToDouble,
  kFcvtToSingle,
  kFcvtl,
  kFcvtn,
  kFrintn,
  kFrintm,
  kFrintp,
  kFrintz,
  kFrintx,
  kFrinti,
  kFcvtas,
  kFcvtau,
  kFcvtns,
  kFcvtnu,
  kFcvtms,
  kFcvtmu,
  kFcvtps,
  kFcvtpu,
  kFcvtzs,
  kFcvtzu,
  kScvtf,
  kUcvtf,
  // integers: bits
  kAnd,
  kBic,
  kOrr,
  kOrn,
  kEor,
  kBsl,
  kBit,
  kBif,
  kNot,
  kImmediate,
  kImmediateNot,
  kOrrImmediate,
  kBicImmediate,
  // lanes of one size
  kAdd,
  kSub,
  kMul,
  kMla,
  kMls,
  kSmax,
  kSmin,
  kUmax,
  kUmin,
  kSabd,
  kUabd,
  kSaba,
  kUaba,
  kUrhadd,
  kUqadd,
  kSqadd,
  kUqsub,
  kSqsub,
  kSuqadd,
  kUsqadd,
  kSqabs,
  kSqneg,
  kShadd,
  kUhadd,
  kSrhadd,
  kShsub,
  kUhsub,
  kSqdmulh,
  kSqrdmulh,
  kSshl,
  kUshl,
  kSrshl,
  kUrshl,
  kCmeq,
  kCmge,
  kCmgt,
  kCmhs,
  kCmhi,
  kCmtst,
  kCmeqZero,
  kCmgeZero,
  kCmgtZero,
  kCmleZero,
  kCmltZero,
  kAbs,
  kNeg,
  kCnt,
  kAddp,
  kAddpScalar,
  kSmaxp,
  kSminp,
  kUmaxp,
  kUminp,
  // shifts
  kSshr,
  kUshr,
  kSsra,
  kUsra,
  kShl,
  kSli,
  kSri,
  kSrshr,
  kUrshr,
  kSrsra,
  kUrsra,
  kSqshlImmediate,
  kUqshlImmediate,
  kSqshlu,
  kSshll,
  kUshll,
  kShll,
  // narrowing: the size is the narrow element's
  kShrn,
  kRshrn,
  kSqshrn,
  kSqrshrn,
  kSqshrun,
  kSqrshrun,
  kUqshrn,
  kUqrshrn,
  kXtn,
  kSqxtn,
  kSqxtun,
  kUqxtn,
  kAddhn,
  kRaddhn,
  kSubhn,
  kRsubhn,
  // widening: the size is the narrow element's
  kSaddl,
  kUaddl,
  kSsubl,
  kUsubl,
  kSaddw,
  kUaddw,
  kSsubw,
  kUsubw,
  kSmull,
  kUmull,
  kSmlal,
  kUmlal,
  kSmlsl,
  kUmlsl,
  kSabdl,
  kUabdl,
  kSabal,
  kUabal,
  kSaddlp,
  kUaddlp,
  kSadalp,
  kUadalp,
  // across
  kAddv,
  kSaddlv,
  kUaddlv,
  kSmaxv,
  kSminv,
  kUmaxv,
  kUminv,
  // copies and permutations
  kDupElement,
  kDupScalar,
  kDupGeneral,
  kInsGeneral,
  kInsElement,
  kUmov,
  kSmov,
  kZip1,
  kZip2,
  kUzp1,
  kUzp2,
  kTrn1,
  kTrn2,
  kExt,
  kTbl,
  kRev16,
  kRev32,
  kRev64,
};

struct FpForm {
  FpOp op = FpOp::kNone;
  uint8_t size_log2 = 0;  // of an element in bytes
};
// `index`: fp_lookup()'s.
FpForm fp_form(uint16_t index);

namespace fp {
// The 8 fraction bits of an estimate, by the operand's 8 highest ones; of a square root's behind
// the exponent's lowest bit. FPRecipEstimate, FPRSqrtEstimate.
struct Estimates {
  uint8_t recip[256], rsqrt[512];
};
extern const Estimates kEstimates;
// VFPExpandImm, for FMOV (scalar, immediate) and FMOV (vector, immediate).
uint64_t expand_fp_imm(unsigned imm8, bool is_double);
// AdvSIMDExpandImm, of the word of MOVI, MVNI, ORR, BIC and FMOV: one half.
uint64_t expand_simd_imm(uint32_t word);
}  // namespace fp

}  // namespace trapline::soft

#endif  // TRAPLINE_VMM_SOFT_FP_FP_FORM_H_
