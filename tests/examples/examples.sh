#!/bin/sh
# examples.sh installed ROOT BUILD CMAKE     examples/ against libtrapline-decode in an empty prefix
# examples.sh vendored ROOT COMPILER         examples/ with the decoder's files copied (docs/vendoring.md)
# Run in an empty folder of its own.
set -eu
how=$1 root=$2 out=$PWD
warnings="-std=c11 -O2 -Wall -Wextra -Wpedantic -Werror"

fail() { echo "FAILED: $*" >&2; exit 1; }

try() {  # the programs do what they say
  said=$(./decode_word a8c10440 b9400bff) || fail "decode_word: status $?"
  [ "$said" = "a8c10440 PAIR: load: 2 element(s) of 8 byte(s), register x0 and x1, base x2, offset 16, written back
b9400bff LDST: load: 1 element(s) of 4 byte(s), register x31, base sp, offset 8" ] ||
    fail "decode_word: $said"
  status=0
  ./decode_word d503201f > /dev/null || status=$?
  [ $status = 2 ] || fail "decode_word of a nop: status $status, not 2"
  status=0
  ./decode_word x 2> /dev/null || status=$?
  [ $status = 1 ] || fail "decode_word of no word: status $status, not 1"
  ./instruction_cache || fail "instruction_cache: status $?"
}

case $how in
  installed)
    rm -rf prefix
    "$4" --install "$3" --prefix "$out/prefix" --component decode > /dev/null
    PKG_CONFIG_PATH=$(find "$out/prefix" -name pkgconfig)
    export PKG_CONFIG_PATH
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir trapline-decode)
    export LD_LIBRARY_PATH
    for program in decode_word instruction_cache; do
      # shellcheck disable=SC2046,SC2086
      ${CC:-cc} $warnings "$root/examples/$program.c" \
        $(pkg-config --cflags --libs trapline-decode) -o $program
    done
    try
    ;;
  vendored)
    compiler=$3
    rm -rf vendor
    mkdir -p vendor/decode
    # The table of docs/vendoring.md is what is copied: nothing else may be needed.
    files=$(sed -n '/^| `access.h`/,/^$/p' "$root/docs/vendoring.md" | cut -d'|' -f2 | tr -d '`,')
    for file in $files; do cp "$root/decode/$file" vendor/decode/; done
    for flags in "" "-ffreestanding -fno-exceptions -fno-rtti"; do
      rm -f ./*.o
      # shellcheck disable=SC2086
      "$compiler" -std=c++20 -O2 $flags -Ivendor -c vendor/decode/*.cc
      for program in decode_word instruction_cache; do
        # shellcheck disable=SC2086
        ${CC:-cc} $warnings -Ivendor/decode "$root/examples/$program.c" ./*.o -o $program
      done
      try
    done
    ;;
esac
