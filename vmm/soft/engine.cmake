target_sources(trapline_soft PRIVATE engine.cc)
