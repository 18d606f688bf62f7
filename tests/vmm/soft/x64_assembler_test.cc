// Each form that the assembler writes, as Capstone reads it.
#include "vmm/soft/jit/x64/x64_assembler.h"

#include <capstone/capstone.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace trapline::x64 {
namespace {

std::string read_back(const std::function<void(Assembler&)>& write) {
  static uint8_t code[64];
  Assembler assembler(code);
  write(assembler);
  const size_t length = assembler.here();
  csh handle;
  if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) return "no Capstone";
  cs_insn* insn = nullptr;
  const size_t count = cs_disasm(handle, code, length, 0, 1, &insn);
  std::string text = "unknown";
  if (count == 1) {
    text = std::string(insn->mnemonic) + (insn->op_str[0] != 0 ? " " : "") + insn->op_str;
    if (insn->size != length) text += " (and more)";
    cs_free(insn, count);
  }
  cs_close(&handle);
  return text;
}

struct Row {
  const char* text;
  std::function<void(Assembler&)> write;
};

TEST(X64Assembler, CapstoneReadsWhatWasMeant) {
  const Mem far = ptr[rdi + 0x108], near = ptr[rcx + 0x20], plain = ptr[rdi + 0];
  const Mem sum = ptr[rax + r10 + 8], scaled = ptr[rcx + rax * 8 + 0x90];
  const Row rows[] = {
      {"mov rax, qword ptr [rdi + 0x108]", [&](auto& a) { a.mov(rax, far); }},
      {"mov r11d, dword ptr [rdi]", [&](auto& a) { a.mov(r11d, plain); }},
      {"mov r10, qword ptr [r8 + 0x10]", [&](auto& a) { a.mov(r10, ptr[r8 + 16]); }},
      {"mov rax, qword ptr [rcx + rax*8 + 0x90]", [&](auto& a) { a.mov(rax, scaled); }},
      {"mov rax, qword ptr [rsp]", [&](auto& a) { a.mov(rax, ptr[rsp]); }},
      {"mov r8, rdx", [&](auto& a) { a.mov(r8, rdx); }},
      {"mov qword ptr [rdi + 0x108], r11", [&](auto& a) { a.mov(far, r11); }},
      {"mov dword ptr [rax + r10 + 8], r11d", [&](auto& a) { a.mov(dword[rax + r10 + 8], r11d); }},
      {"mov word ptr [rax + r10 + 8], r11w",
       [&](auto& a) { a.mov(word[rax + r10 + 8], r11.cut(16)); }},
      {"mov byte ptr [rax + r10 + 8], r11b",
       [&](auto& a) { a.mov(byte[rax + r10 + 8], r11.cut(8)); }},
      {"mov dword ptr [rcx + 0x20], eax", [&](auto& a) { a.mov(near, eax); }},
      {"or dword ptr [rdi + 0x108], eax", [&](auto& a) { a.or_(far, eax); }},
      {"vcvtph2ps xmm0, qword ptr [rdi + 0x108]", [&](auto& a) { a.half_to_single(xmm0, far); }},
      {"vcvtph2ps xmm2, xmm1", [](auto& a) { a.half_to_single(xmm2, xmm1); }},
      {"vcvtps2ph xmm1, xmm0, 0", [](auto& a) { a.single_to_half(xmm1, xmm0); }},
      {"vpsllvd xmm3, xmm0, xmm1", [](auto& a) { a.shift_each(0x47, false, xmm3, xmm0, xmm1); }},
      {"vpsrlvq xmm2, xmm0, xmm2", [](auto& a) { a.shift_each(0x45, true, xmm2, xmm0, xmm2); }},
      {"mov esi, 0x1234567", [](auto& a) { a.mov(esi, 0x1234567); }},
      {"mov eax, 0xffffffff", [](auto& a) { a.mov(rax, 0xffff'ffff); }},
      {"mov rax, -2", [](auto& a) { a.mov(rax, ~uint64_t{1}); }},
      {"movabs r8, 0x123456789abcdef0", [](auto& a) { a.mov(r8, 0x1234'5678'9abc'def0); }},
      {"mov qword ptr [rdi + 8], 0x7fffffff", [](auto& a) { a.mov(qword[rdi + 8], 0x7fff'ffff); }},
      {"mov qword ptr [rdi + 8], -1", [](auto& a) { a.mov(qword[rdi + 8], ~uint64_t{0}); }},
      {"mov byte ptr [rcx + 0x11], 1", [](auto& a) { a.mov(byte[rcx + 0x11], 1); }},
      {"movzx r11d, byte ptr [rax + r10 + 8]", [](auto& a) { a.movzx(r11d, byte[rax + r10 + 8]); }},
      {"movzx eax, word ptr [rdi + 8]", [](auto& a) { a.movzx(eax, word[rdi + 8]); }},
      {"movsx r11, byte ptr [rdi + 8]", [](auto& a) { a.movsx(r11, byte[rdi + 8]); }},
      {"movsx r11d, word ptr [rdi + 8]", [](auto& a) { a.movsx(r11d, word[rdi + 8]); }},
      {"movsxd rax, dword ptr [rdi + 8]", [](auto& a) { a.movsxd(rax, dword[rdi + 8]); }},
      {"movsxd rax, eax", [](auto& a) { a.movsxd(rax, eax); }},
      {"lea r9, [rax + 7]", [](auto& a) { a.lea(r9, ptr[rax + 7]); }},
      {"lea r9d, [r9 + 1]", [](auto& a) { a.lea(r9d, ptr[r9 + 1]); }},
      {"lea rax, [rcx + rax + 0x480]", [](auto& a) { a.lea(rax, ptr[rcx + rax + 0x480]); }},
      {"lea rsi, [r8 + rsi + 0x40]", [](auto& a) { a.lea(rsi, ptr[r8 + rsi + 0x40]); }},
      {"cmova r9, r8", [](auto& a) { a.cmov(kA, r9, r8); }},
      {"cmovge r9d, r8d", [](auto& a) { a.cmov(kGe, r9d, r8d); }},
      {"setae byte ptr [rcx + 0x10]", [](auto& a) { a.set(kAe, byte[rcx + 0x10]); }},
      {"movss xmm0, dword ptr [rax + r10 + 8]", [&](auto& a) { a.movss(xmm0, sum); }},
      {"movsd xmm0, qword ptr [rax + r10 + 8]", [&](auto& a) { a.movsd(xmm0, sum); }},
      {"movups xmm0, xmmword ptr [rax + r10 + 8]", [&](auto& a) { a.movups(xmm0, sum); }},
      {"movups xmmword ptr [rdi + 0x108], xmm0", [&](auto& a) { a.movups(far, xmm0); }},
      {"movsd qword ptr [rdi + 0x108], xmm4", [&](auto& a) { a.movsd(far, xmm4); }},
      {"movaps xmm8, xmm3", [](auto& a) { a.movaps(xmm8, xmm3); }},
      {"por xmm7, xmm8", [](auto& a) { a.sse(0x66, 0x0feb, xmm7, xmm8); }},
      {"add rax, qword ptr [rdi + 0x108]", [&](auto& a) { a.add(rax, far); }},
      {"or eax, dword ptr [rcx + 0x20]", [&](auto& a) { a.or_(eax, near); }},
      {"and r8, qword ptr [rdi]", [&](auto& a) { a.and_(r8, plain); }},
      {"sub r8d, eax", [](auto& a) { a.sub(r8d, eax); }},
      {"xor al, byte ptr [rcx + 0x11]", [](auto& a) { a.xor_(al, byte[rcx + 0x11]); }},
      {"cmp r9, qword ptr [r8 + 8]", [](auto& a) { a.cmp(r9, ptr[r8 + 8]); }},
      {"adc eax, 0", [](auto& a) { a.adc(eax, 0); }},
      {"add rax, 0x1234", [](auto& a) { a.add(rax, 0x1234); }},
      {"sub rdx, 0x3f", [](auto& a) { a.sub(rdx, 63u); }},
      {"and r8d, 0x7fe0", [](auto& a) { a.and_(r8d, 0x7fe0); }},
      {"and r9, 0xfffffffffffff000", [](auto& a) { a.and_(r9, ~0xfff); }},
      {"cmp qword ptr [rcx + 8], 0", [](auto& a) { a.cmp(qword[rcx + 8], 0); }},
      {"cmp byte ptr [rcx + 0x10], 1", [](auto& a) { a.cmp(byte[rcx + 0x10], 1); }},
      {"cmp dword ptr [rdi + 0x108], 0", [](auto& a) { a.cmp(dword[rdi + 0x108], 0); }},
      {"test dword ptr [rcx + 0x20], eax", [&](auto& a) { a.test(near, eax); }},
      {"test byte ptr [rdi + 0x108], 0x80", [](auto& a) { a.test(byte[rdi + 0x108], 0x80); }},
      {"test al, 7", [](auto& a) { a.test(al, 7); }},
      {"lock cmpxchg16b xmmword ptr [r8]", [](auto& a) { a.lock_cmpxchg16b(ptr[r8]); }},
      {"imul rax, qword ptr [rdi + 0x108]", [&](auto& a) { a.imul(rax, far); }},
      {"imul rax, r8", [](auto& a) { a.imul(rax, r8); }},
      {"mul qword ptr [rdi + 0x108]", [](auto& a) { a.mul_rax(qword[rdi + 0x108], false); }},
      {"imul qword ptr [rdi + 0x108]", [](auto& a) { a.mul_rax(qword[rdi + 0x108], true); }},
      {"not r8", [](auto& a) { a.not_(r8); }},
      {"bswap rax", [](auto& a) { a.bswap(rax); }},
      {"bswap eax", [](auto& a) { a.bswap(eax); }},
      {"tzcnt rax, qword ptr [rdi + 0x108]", [&](auto& a) { a.tzcnt(rax, far); }},
      {"lzcnt rax, qword ptr [rdi + 0x108]", [&](auto& a) { a.lzcnt(rax, far); }},
      {"shl rax, 3", [](auto& a) { a.shl(rax, 3); }},
      {"shr r8, 7", [](auto& a) { a.shr(r8, 7); }},
      {"sar eax, 0x1f", [](auto& a) { a.shift(Assembler::kSar, eax, 31); }},
      {"ror r8, 0x3f", [](auto& a) { a.shift(Assembler::kRor, r8, 63); }},
      {"shrd rax, r8, 0xd", [](auto& a) { a.shrd(rax, r8, 13); }},
      {"shlx rax, qword ptr [rdi + 0x108], r8",
       [&](auto& a) { a.shift_by(Assembler::kShl, rax, far, r8); }},
      {"shrx eax, dword ptr [rdi + 0x108], r8d",
       [&](auto& a) { a.shift_by(Assembler::kShr, eax, far, r8); }},
      {"sarx rax, qword ptr [rdi + 0x108], r8",
       [&](auto& a) { a.shift_by(Assembler::kSar, rax, far, r8); }},
      {"jne 6", [](auto& a) { a.jump(kNe); }},
      {"jmp 5", [](auto& a) { a.jump(); }},
      {"call 5", [](auto& a) { a.call(); }},
      {"jmp 0", [](auto& a) { a.bind(a.jump(), 0); }},
      {"jmp rax", [](auto& a) { a.jmp(rax); }},
      {"jmp qword ptr [rsi]", [](auto& a) { a.jmp(ptr[rsi]); }},
      {"ret", [](auto& a) { a.ret(); }},
      {"test dword ptr [rdi + 0x108], 0x1c00000",
       [](auto& a) { a.test32(ptr[rdi + 0x108], 0x1c0'0000); }},
      {"div r9", [](auto& a) { a.div(r9, false); }},
      {"idiv r9d", [](auto& a) { a.div(r9d, true); }},
      {"cdq", [](auto& a) { a.cdq(); }},
      {"cqo", [](auto& a) { a.cqo(); }},
      {"neg r8d", [](auto& a) { a.neg(r8d); }},
      {"sbb rax, qword ptr [rdi + 0x108]", [&](auto& a) { a.sbb(rax, far); }},
      {"setne r9b", [](auto& a) { a.set(kNe, r9d); }},
      {"ror eax, cl", [](auto& a) { a.shift_cl(Assembler::kRor, eax); }},
      {"movzx r11d, r11b", [](auto& a) { a.movzx(r11d, r11.cut(8)); }},
      {"movzx eax, al", [](auto& a) { a.movzx(eax, al); }},
      {"movzx r11d, r11w", [](auto& a) { a.movzx(r11d, r11.cut(16)); }},
      {"crc32 eax, byte ptr [rdi + 8]", [](auto& a) { a.crc32c(eax, byte[rdi + 8]); }},
      {"crc32 eax, word ptr [rdi + 8]", [](auto& a) { a.crc32c(eax, word[rdi + 8]); }},
      {"crc32 eax, dword ptr [rdi + 8]", [](auto& a) { a.crc32c(eax, dword[rdi + 8]); }},
      {"crc32 rax, qword ptr [rdi + 8]", [](auto& a) { a.crc32c(eax, qword[rdi + 8]); }},
      {"lock cmpxchg byte ptr [r8], r11b", [](auto& a) { a.lock_cmpxchg(ptr[r8], r11.cut(8)); }},
      {"lock cmpxchg word ptr [r8], r9w", [](auto& a) { a.lock_cmpxchg(ptr[r8], r9.cut(16)); }},
      {"lock cmpxchg dword ptr [r8], r11d", [](auto& a) { a.lock_cmpxchg(ptr[r8], r11d); }},
      {"lock cmpxchg qword ptr [r8], r11", [](auto& a) { a.lock_cmpxchg(ptr[r8], r11); }},
      {"lock xadd word ptr [r8], r11w", [](auto& a) { a.lock_xadd(ptr[r8], r11.cut(16)); }},
      {"xchg qword ptr [rax + r10 + 8], r11", [&](auto& a) { a.xchg(sum, r11); }},
      {"xchg byte ptr [r8], r11b", [](auto& a) { a.xchg(ptr[r8], r11.cut(8)); }},
      // vectors: each encoding, with the prefixes
      {"movaps xmm5, xmm0", [](auto& a) { a.movaps(xmm5, xmm0); }},
      {"addsd xmm0, qword ptr [rdi + 0x108]", [&](auto& a) { a.sse(0xf2, 0x0f58, xmm0, far); }},
      {"mulps xmm0, xmmword ptr [rdi + 0x108]", [&](auto& a) { a.sse(0, 0x0f59, xmm0, far); }},
      {"paddd xmm5, xmm5", [](auto& a) { a.sse(0x66, 0x0ffe, xmm5, xmm5); }},
      {"movq xmm0, xmm0", [](auto& a) { a.sse(0xf3, 0x0f7e, xmm0, xmm0); }},
      {"cmpunordpd xmm2, xmmword ptr [rdi + 0x108]",
       [&](auto& a) { a.sse(0x66, 0x0fc2, xmm2, far, 3); }},
      {"shufps xmm0, xmm1, 0x88", [](auto& a) { a.sse(0, 0x0fc6, xmm0, xmm1, 0x88); }},
      {"pmulld xmm0, xmmword ptr [rdi + 0x108]",
       [&](auto& a) { a.sse(0x66, 0x0f3840, xmm0, far); }},
      {"roundsd xmm0, xmm0, 1", [](auto& a) { a.sse(0x66, 0x0f3a0b, xmm0, xmm0, 1); }},
      {"psrlq xmm0, 0x20", [](auto& a) { a.shift_lanes(0x0f73, 2, xmm0, 32); }},
      {"psraw xmm1, 8", [](auto& a) { a.shift_lanes(0x0f71, 4, xmm1, 8); }},
      {"pslldq xmm1, 3", [](auto& a) { a.shift_lanes(0x0f73, 7, xmm1, 3); }},
      {"movd xmm0, r11d", [](auto& a) { a.movd(xmm0, r11d); }},
      {"movq xmm1, r9", [](auto& a) { a.movd(xmm1, r9); }},
      {"movd eax, xmm0", [](auto& a) { a.movd(eax, xmm0); }},
      {"movq rax, xmm5", [](auto& a) { a.movd(rax, xmm5); }},
      {"cvttsd2si rax, xmm0", [](auto& a) { a.cvt_to_integer(true, rax, xmm0); }},
      {"cvttss2si r9d, xmm1", [](auto& a) { a.cvt_to_integer(false, r9d, xmm1); }},
      {"cvtsi2sd xmm0, rax", [](auto& a) { a.cvt_from_integer(true, xmm0, rax); }},
      {"cvtsi2ss xmm1, r8d", [](auto& a) { a.cvt_from_integer(false, xmm1, r8d); }},
      {"pinsrb xmm0, r11d, 5", [](auto& a) { a.insert(0x0f3a20, xmm0, r11d, 5); }},
      {"pinsrq xmm0, r11, 1", [](auto& a) { a.insert(0x0f3a22, xmm0, r11, 1); }},
      {"vfmadd231sd xmm0, xmm1, qword ptr [rdi + 0x108]",
       [&](auto& a) { a.fma(0xb9, true, xmm0, xmm1, far); }},
      {"vfnmadd231ps xmm0, xmm1, xmm2", [](auto& a) { a.fma(0xbc, false, xmm0, xmm1, xmm2); }},
  };
  for (const Row& row : rows) EXPECT_EQ(read_back(row.write), row.text);
}

TEST(X64Assembler, AddressesFromTheNextInstruction) {
  static uint8_t code[64];
  Assembler assembler(code);
  const struct {
    const char* text;
    std::function<void()> write;
    unsigned displacement_end;  // from the instruction's end
  } rows[] = {
      {"lea", [&] { assembler.lea(rsi, ptr[rip + (code + 40)]); }, 0},
      {"cmp", [&] { assembler.cmp(r8, ptr[rip + (code + 40)]); }, 0},
      {"cmp with an immediate", [&] { assembler.cmp(qword[rip + (code + 40)], 1); }, 1},
      {"mov of an immediate", [&] { assembler.mov(qword[rip + (code + 40)], 1); }, 4},
  };
  for (const auto& row : rows) {
    assembler.move_to(0);
    row.write();
    int32_t displacement;
    std::memcpy(&displacement, code + assembler.here() - row.displacement_end - 4, 4);
    EXPECT_EQ(static_cast<int>(assembler.here()) + displacement, 40) << row.text;
  }
}

}  // namespace
}  // namespace trapline::x64
