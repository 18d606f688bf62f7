# The text of `trapline --version`: the project's version and, in a git checkout of it, the commit. As a
# script (-DSOURCE -DVERSION -DGIT -DOUTPUT) it writes that text's source file, if it has changed.
if(CMAKE_SCRIPT_MODE_FILE)
  set(text ${VERSION})
  if(GIT)
    # Not the commit of another checkout that this tree was unpacked in.
    execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse --show-prefix
                    OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE
                    RESULT_VARIABLE failed ERROR_QUIET)
    if(NOT failed AND prefix STREQUAL "")
      execute_process(COMMAND ${GIT} -C ${SOURCE} describe --always --exclude * --abbrev=12 --dirty
                      OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
                      RESULT_VARIABLE failed ERROR_QUIET)
      if(NOT failed)
        string(APPEND text " (git ${commit})")
      endif()
    endif()
  endif()
  file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "const char* trapline_version() { return \"${text}\"; }\n")
  return()
endif()

find_package(Git QUIET)
set(version_source ${CMAKE_BINARY_DIR}/version.cc)
add_custom_target(trapline_version_text BYPRODUCTS ${version_source}
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DVERSION=${PROJECT_VERSION}
          -DGIT=${GIT_EXECUTABLE} -DOUTPUT=${version_source} -P ${CMAKE_CURRENT_LIST_FILE}
  COMMENT "" VERBATIM)
add_library(trapline_version OBJECT ${version_source})
add_dependencies(trapline_version trapline_version_text)
set_source_files_properties(${version_source} PROPERTIES GENERATED ON)
target_link_libraries(trapline PRIVATE trapline_version)
