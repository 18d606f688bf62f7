#!/bin/sh
# compiles.sh COMPILER ROOT ROOM...: the sources of each room compile with nothing but the language's
# version; decode/ and icache/, which say that they are freestanding, also as a kernel builds them.
# Not decode/'s text and Capstone adapter, which are libraries of their own.
set -u
compiler=$1 root=$2
shift 2
status=0

compile() {  # SOURCE [FLAG...]
  source=$1
  shift
  "$compiler" -std=c++20 -Wall -Wextra -Werror "$@" -I"$root" -c "$source" -o /dev/null || {
    echo "FAILED: $compiler $* $source" >&2
    status=1
  }
}

for room in "$@"; do
  for source in "$root/$room"/*.cc; do
    case $source in
      */access_text.cc | */capstone_*.cc | */decode/format.cc) continue ;;
    esac
    compile "$source"
    [ "$room" = mmio ] || compile "$source" -ffreestanding -fno-exceptions -fno-rtti
  done
done
exit $status
