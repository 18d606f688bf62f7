# cmake -DMODEL=... -DINPUT=... -DPUBLISHED=... -DWORK=... -P nested_model_test.cmake: the model on
# fixed inputs, whose table can be made by hand; and on the real data file, which must say how each
# figure was confirmed.
function(run_model published out_var)
  execute_process(COMMAND ${MODEL} ${published} ${INPUT}/exit.json ${INPUT}/walk.json ${ARGN}
                  OUTPUT_VARIABLE out ERROR_VARIABLE error RESULT_VARIABLE status)
  if(status)
    message(FATAL_ERROR "nested_model ${published}: status ${status}: ${error}")
  endif()
  set(${out_var} "${out}" PARENT_SCOPE)
endfunction()

function(expect out)
  foreach(line IN LISTS ARGN)
    string(FIND "${out}" "${line}\n" at)
    if(at EQUAL -1)
      message(FATAL_ERROR "not printed: ${line}\n${out}")
    endif()
  endforeach()
endfunction()

function(refused name from to message)
  file(READ ${INPUT}/published.json text)
  string(REPLACE "${from}" "${to}" changed "${text}")
  if(changed STREQUAL text)
    message(FATAL_ERROR "${name}: nothing was changed")
  endif()
  file(WRITE ${WORK}/${name}.json "${changed}")
  execute_process(COMMAND ${MODEL} ${WORK}/${name}.json ${INPUT}/exit.json ${INPUT}/walk.json
                  OUTPUT_QUIET ERROR_VARIABLE error RESULT_VARIABLE status)
  if(NOT status EQUAL 1 OR NOT error MATCHES "${message}")
    message(FATAL_ERROR "${name}: status ${status}, '${error}', not 1 and '${message}'")
  endif()
endfunction()

# At 2 GHz: a hit 100 cycles, without a cache 400; the walk 200, an L2 guest's 1,000, so that the
# exit of L2 without a cache takes 1,200. A trap on a register: (70,000 - 20,000) / (70 - 20) =
# 1,000; saved late, 20 of them fall away. The walk and the comparison read four registers.
run_model(${INPUT}/published.json out)
expect("${out}"
  "- system registers read: 4 (SCTLR_EL1, TCR_EL1, TTBR1_EL1, MAIR_EL1), 11 uses in the code"
  "| L1 guest, in the kernel, VHE | 1000 | 1400 | 1100 | 300 | 21.43 % |"
  "| L1 guest, in user space, Ampere Altra | 3000 | 3400 | 3100 | 300 | 8.82 % |"
  "| L2 guest, L1 emulates, ARMv8.3, no VHE | 90000 | 91200 | 90100 | 1100 | 1.21 % |"
  "| L2 guest, L1 emulates, ARMv8.3, VHE, registers saved | 70000 | 71200 | 70100 | 1100 | 1.54 % |"
  "| the same, but each register read traps (estimated) | 50000 | 55200 | 54100 | 1100 | 1.99 % |"
  "| the same, and AT S12E1R instead of a walk (estimated) | 50000 | 51200 | 54100 | -2900 | -5.66 % |"
  "| L2 guest, L1 emulates, NEVE (FEAT_NV2) | 21000 | 22200 | 21100 | 1100 | 4.95 % |"
  "| L2 guest, L0 emulates a device passed through | 1000 | 2200 | 1100 | 1100 | 50.00 % |"
  # Swept: a hit 2,000, without a cache 8,000, the walks 5,000 and 13,000.
  "| L1 guest, in the kernel, VHE | 1000 | 9000 | 3000 | 6000 | 66.67 % |"
  "| L2 guest, L1 emulates, NEVE (FEAT_NV2) | 21000 | 37000 | 23000 | 14000 | 37.84 % |"
  "2 of 12 were read at their source:"
  "- altra_mmio_read_user: 1500 nanoseconds [confirmed]: B\; Message-ID x"
  "- nested_v83_vhe_saved_registers: 10 registers [unconfirmed]: D\; memory")
run_model(${INPUT}/published.json out --ghz 4)
expect("${out}" "| L1 guest, in the kernel, VHE | 1000 | 1800 | 1200 | 600 | 33.33 % |")

refused(no_status ", \"status\": \"unconfirmed\"" "" "status")
refused(bad_status "\"unconfirmed\"" "\"heard\"" "nested_v83_vhe_saved_registers: status 'heard'")
refused(no_place "\"memory\"" "\"\"" "nested_v83_vhe_saved_registers: 'where' is empty")

run_model(${PUBLISHED} out)
expect("${out}" "## Cited figures")
