#!/bin/sh
# undefined_symbols.sh NM OBJECT...: fails if an object wants more than a freestanding environment
# gives: memcpy, memmove, memset and memcmp (GCC manual, "Language Standards Supported by GCC").
nm=$1
shift
[ $# -gt 0 ] || { echo "no objects given"; exit 1; }
wanted=$("$nm" -u "$@" | sed -n 's/^ *U //p' |
  grep -v -x -E 'memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_')
[ -z "$wanted" ] || { echo "not freestanding: $wanted"; exit 1; }
