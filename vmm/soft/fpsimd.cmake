target_sources(trapline_soft PRIVATE fp.cc)
