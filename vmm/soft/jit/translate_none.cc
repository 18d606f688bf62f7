// A host for whose processor there is no translator.
#include "vmm/soft/jit/translate.h"

namespace trapline::soft {

std::unique_ptr<Translator> make_translator(Cpu&, EngineState&) { return nullptr; }
void use_baseline_host(bool) {}

}  // namespace trapline::soft
