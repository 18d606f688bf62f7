#!/bin/sh
# lease_test.sh TRAPLINE GUEST_DIR: in the demo's guest udhcpc's lease sets address, route and names.
set -u
[ -s "$2/initrd.gz" ] || { echo "SKIPPED: no guest: run scripts/fetch-guest"; exit 77; }
said=$(printf '%s\n' 'udhcpc -i eth0 -q' 'ip -4 addr show eth0' 'ip route' 'cat /etc/resolv.conf' \
  'ping -c 1 10.0.2.2' 'poweroff' |
  timeout 200 "$1" run --kernel "$2/Image" --initrd "$2/initrd.gz" --net user \
    --append "console=ttyAMA0 cryptomgr.notests quiet" 2> /dev/null)
for expected in 'inet 10.0.2.15/24' 'default via 10.0.2.2 dev eth0' 'nameserver 10.0.2.3' \
  '1 packets received'; do
  case $said in
    *"$expected"*) ;;
    *) echo "FAILED: no '$expected' (an old initramfs? run scripts/fetch-guest):"; echo "$said"; exit 1 ;;
  esac
done
