target_sources(trapline_soft PRIVATE mmu.cc exception.cc)
