# The system half against a recording stand-in for the engine.
set(system_dir ${CMAKE_SOURCE_DIR}/vmm/soft)
trapline_test(soft_system_test
  SOURCES system_exception_test.cc system_sysreg_test.cc system_mmu_test.cc system_vcpu_test.cc
          system_fixture.cc
          ${system_dir}/mmu.cc ${system_dir}/exception.cc ${system_dir}/sysreg.cc
          ${system_dir}/sysreg_table.cc ${system_dir}/sysreg_instructions.cc
          ${system_dir}/soft_vcpu.cc ${system_dir}/soft_vcpu_state.cc
          ${system_dir}/soft_view.cc
          ${system_dir}/soft_backend.cc ${system_dir}/wait.cc
  LIBS trapline_guest trapline_mmio)
