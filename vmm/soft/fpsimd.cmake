set(FPSIMD_SOURCES fp_arith.cc fp_convert.cc fp_decode.cc fp_estimate.cc fp_scalar.cc
                   fp_scalar_convert.cc fp_simd_fp.cc fp_simd_int.cc fp_simd_misc.cc
                   fp_simd_permute.cc fp_simd_shift.cc fp_simd_wide.cc)
target_sources(trapline_soft PRIVATE ${FPSIMD_SOURCES})
# A contracted multiply-add would round once where the guest's program rounds twice. The lane loops
# become vector code at -O3.
set_source_files_properties(${FPSIMD_SOURCES} PROPERTIES COMPILE_OPTIONS
  "-ffp-contract=off;$<$<NOT:$<CONFIG:Debug>>:-O3>")
