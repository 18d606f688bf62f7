# Of what Debian builds its own programs with, what costs an exit nothing (docs/sandbox.md).
#
# Addresses of functions are resolved at start, and their table is read-only then.
add_link_options(-Wl,-z,relro,-z,now)

# Rooms that parse what others wrote, and no exit's quick way goes through: a stack protector, and the
# C library's functions that know the size of what they write to.
function(trapline_harden)
  foreach(room ${ARGN})
    target_compile_options(trapline_${room} PRIVATE -fstack-protector-strong)
    if(NOT TRAPLINE_SANITIZE)
      target_compile_options(trapline_${room} PRIVATE
          $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
    endif()
  endforeach()
endfunction()
