// A library that is loaded when it is first used (cmake/loaded.cmake).
#ifndef TRAPLINE_DEVICES_LOADED_LIBRARY_H_
#define TRAPLINE_DEVICES_LOADED_LIBRARY_H_

#include <dlfcn.h>

#include <string>
#include <type_traits>

namespace trapline {

class LoadedLibrary {
 public:
  // `missing` becomes what is not there: the library, or a name of it.
  LoadedLibrary(const char* soname, std::string& missing)
      : soname_(soname), missing_(missing), library_(dlopen(soname, RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) missing_ = dlerror();
  }
  template <typename Pointer>
  void find(const char* name, Pointer& pointer) const {
    if (library_ == nullptr) return;
    pointer = reinterpret_cast<Pointer>(dlsym(library_, name));
    if (pointer == nullptr) missing_ = std::string(soname_) + " has no " + name;
  }

 private:
  const char* const soname_;
  std::string& missing_;
  void* const library_;  // stays
};

}  // namespace trapline

#endif  // TRAPLINE_DEVICES_LOADED_LIBRARY_H_
