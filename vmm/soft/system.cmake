target_sources(trapline_soft PRIVATE mmu.cc exception.cc sysreg.cc sysreg_table.cc
               sysreg_instructions.cc soft_vcpu.cc soft_vcpu_state.cc soft_view.cc soft_backend.cc wait.cc)
