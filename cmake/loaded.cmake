# Libraries that are loaded when they are first used (dlopen): to map them and to relocate their
# tables would cost every start.

# The name by which the library at `path`, which has a link without version numbers, is found at run
# time: what the link leads to, as far as the first number. (Its file may be called otherwise.)
function(trapline_soname path variable)
  set(file ${path})
  if(IS_SYMLINK ${path})
    file(READ_SYMLINK ${path} file)
  endif()
  get_filename_component(file ${file} NAME)
  string(REGEX MATCH "^lib.*\\.so\\.[0-9]+" name ${file})
  if(NOT name)
    message(FATAL_ERROR "${path}: not a shared library with a version")
  endif()
  set(${variable} ${name} PARENT_SCOPE)
endfunction()
