#!/bin/bash
# Runs QEMU one instruction at a time and our CPU beside it; stops at the first difference.
#
#   tools/lockstep/lockstep.sh BUILD_DIR [--max N] [--memory MIB] [--cpu MODEL] [--el2] -- QEMU_ARGUMENTS...
#   tools/lockstep/lockstep.sh build/release --max 50000000 -- \
#       -kernel .cache/guest/Image -initrd .cache/guest/initrd-test.gz \
#       -append "console=ttyAMA0 cryptomgr.notests"
#
# QEMU's RAM at reset is copied, so that kernel, device tree and boot stub are the same ones. The
# model is a Cortex-A72 without PMU: the nearest to ours that has nothing which ours lacks, but for
# the AES and SHA instructions. Virtual time is counted in instructions. With --el2 both have EL2,
# without VHE, and the kernel is entered there: a KVM host boots.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 1; }
program=$1/tools/lockstep/lockstep
shift
max=() memory=256 cpu=cortex-a72,pmu=off machine=virt,gic-version=3,dtb-randomness=off el2=()
while [ $# -gt 0 ]; do
  case $1 in
    --max) max=(--max "$2"); shift 2 ;;
    --memory) memory=$2; shift 2 ;;
    --cpu) cpu=$2; shift 2 ;;
    --el2) el2=(--el2); machine+=,virtualization=on; shift ;;
    --) shift; break ;;
    *) echo "lockstep: unknown option $1" >&2; exit 1 ;;
  esac
done
[ -x "$program" ] || { echo "lockstep: $program is not built" >&2; exit 1; }

work=$(mktemp -d)
qemu_pid=
trap '[ -z "$qemu_pid" ] || kill "$qemu_pid" 2> /dev/null || true; rm -rf "$work"' EXIT
mkfifo "$work/log" "$work/monitor"

qemu-system-aarch64 -M "$machine" -cpu "$cpu" -smp 1 -m "$memory" \
  -nodefaults -serial null -display none -S -singlestep -icount shift=0,sleep=off \
  -d cpu,int,nochain -D "$work/log" -monitor stdio "$@" \
  < "$work/monitor" > "$work/monitor.out" 2>&1 &
qemu_pid=$!
exec 3> "$work/monitor"
printf 'pmemsave 0x40000000 0x%x "%s"\n' $((memory << 20)) "$work/memory" >&3

# QEMU opens its log before it listens to the monitor, and waits for a reader.
exec 4<> "$work/log"
for _ in $(seq 300); do
  [ "$(stat -c %s "$work/memory" 2> /dev/null || echo 0)" = $((memory << 20)) ] && break
  kill -0 "$qemu_pid" 2> /dev/null || { cat "$work/monitor.out" >&2; exit 1; }
  sleep 0.1
done
# The reader opens the log first of all; with it there, the log ends when QEMU does.
"$program" --memory "$work/memory" --log "$work/log" "${max[@]}" "${el2[@]}" 4<&- &
program_pid=$!
sleep 1
exec 4<&-
echo cont >&3
status=0
wait "$program_pid" || status=$?
exit $status
