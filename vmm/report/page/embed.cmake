# cmake -DFOLDER=... -DD3=... -DOUT=page_template.cc -P embed.cmake
#
# The report's page with style, scripts and D3 in it, as C++: two texts, between which the data goes.
cmake_policy(VERSION 3.25)  # "@D3@" is a text, no variable
set(scripts base headline differences timeline latency stages instructions flame cache nested main)

file(READ ${FOLDER}/page.html page)
file(READ ${FOLDER}/page.css style)
file(READ ${FOLDER}/d3.licence licence)
file(READ ${D3} d3)
string(REPLACE "@STYLE@" "${style}" page "${page}")
string(REPLACE "@LICENCE@" "${licence}" page "${page}")
set(all "")
foreach(script ${scripts})
  file(READ ${FOLDER}/${script}.js text)
  string(APPEND all "${text}")
endforeach()
string(REPLACE "@SCRIPTS@" "${all}" page "${page}")
string(REPLACE "@D3@" "${d3}" page "${page}")

string(FIND "${page}" "@DATA@" at)
string(SUBSTRING "${page}" 0 ${at} before)
math(EXPR at "${at} + 6")
string(SUBSTRING "${page}" ${at} -1 after)
if("${page}" MATCHES "\\)trapline\"" OR NOT after)
  message(FATAL_ERROR "the page cannot be embedded")
endif()
file(WRITE ${OUT} "// Made by embed.cmake from vmm/report/page/ and D3.
#include \"vmm/report/page_template.h\"

namespace trapline {
const std::string_view kPageBeforeData = R\"trapline(${before})trapline\";
const std::string_view kPageAfterData = R\"trapline(${after})trapline\";
}  // namespace trapline
")
