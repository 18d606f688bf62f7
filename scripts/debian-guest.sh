# For other scripts, behind apt-arm64.sh: a kernel of Debian's, and initramfs images with its modules.
# Unpacked packages stand in "$work"; "$here" is scripts/guest.

# The packages of the newest cloud kernel that the lists hold, into $kernel_packages.
find_kernel() {
  local image
  image=$(apt-cache "${apt_options[@]}" depends linux-image-cloud-arm64 2>> "$work/apt.log" |
    sed -nE 's/^ *\|?Depends: (linux-image-[0-9][^ ]*-cloud-arm64).*$/\1/p' | head -n 1)
  [ -n "$image" ] || offline "could not get Debian's arm64 package lists"
  kernel_packages=("$image")
  # The unsigned package holds the same kernel without the Secure Boot signature. From Linux 7 on
  # kernel and modules are packages of their own.
  local apart=("linux-binary-${image#linux-image-}" "linux-modules-${image#linux-image-}")
  if apt-cache "${apt_options[@]}" show "$image-unsigned" > /dev/null 2>&1; then
    kernel_packages=("$image-unsigned")
  elif apt-cache "${apt_options[@]}" show "${apart[@]}" > /dev/null 2>&1; then
    kernel_packages=("${apart[@]}")
  fi
}

# Downloads packages into $work/debs.
download() {  # PACKAGE...
  echo "${0##*/}: downloading $*"
  rm -rf "$work/debs"
  mkdir -p "$work/debs"
  (cd "$work/debs" && apt-get "${apt_options[@]}" download "$@") \
    >> "$work/apt.log" 2>&1 || offline "could not download $*"
}

# Unpacks the downloaded kernel into $work/kernel, and brings its Image to OUTPUT.
unpack_kernel() {  # OUTPUT
  local deb found
  rm -rf "$work/kernel"
  for deb in "$work"/debs/linux-*.deb; do dpkg-deb -x "$deb" "$work/kernel"; done
  found=$(find "$work/kernel" -name 'vmlinuz*' -type f | head -n 1)
  cp "$found" "$1.new"
  # Arm64 boot protocol: the magic "ARM\x64" stands at byte 56.
  if [ "$(dd if="$1.new" bs=1 skip=56 count=4 status=none)" != "ARMd" ]; then
    echo "${0##*/}: ${kernel_packages[0]} does not hold an arm64 Image" >&2
    exit 1
  fi
  mv "$1.new" "$1"
}

modinfo_depends() {  # MODULE.ko: the modules it needs, one a line
  tr '\0' '\n' < "$1" | sed -n 's/^depends=//p' | head -n 1 | tr ',' '\n'
}

# Copies a module and, before it, what it needs; appends their names to /etc/modules in load order.
add_module() {  # NAME STAGE
  local name=$1 stage=$2 file dep pattern
  grep -qx "$name" "$stage/etc/modules" && return 0
  pattern=${name//_/[_-]}
  file=$(find "$work/kernel" -name "$pattern.ko" -o -name "$pattern.ko.xz" | head -n 1)
  [ -n "$file" ] || return 0  # Built into this kernel.
  local plain=$stage/lib/modules/$name.ko
  case $file in
    *.xz) xz -dc "$file" > "$plain" ;;
    *) cp "$file" "$plain" ;;
  esac
  for dep in $(modinfo_depends "$plain"); do
    add_module "${dep//-/_}" "$stage"
  done
  echo "$name" >> "$stage/etc/modules"
}

guest_recipe() {  # Stands for all but the packages that goes into an initramfs.
  cat "$root/scripts/debian-guest.sh" "$here"/{init*,udhcpc.script} | sha256sum | cut -d' ' -f1
}

build_initrd() {  # INIT OUTPUT
  local stage=$work/stage
  rm -rf "$stage"
  mkdir -p "$stage"/{bin,dev,etc,lib/modules,proc,sys,tmp,root,sbin,usr/bin,usr/sbin}
  cp "$work/busybox/bin/busybox" "$stage/bin/busybox"
  ln -s busybox "$stage/bin/sh"
  cp "$1" "$stage/init"
  mkdir -p "$stage/etc/udhcpc"
  cp "$here/udhcpc.script" "$stage/etc/udhcpc/default.script"  # where Debian's busybox looks
  chmod 755 "$stage/init" "$stage/bin/busybox" "$stage/etc/udhcpc/default.script"
  : > "$stage/etc/modules"
  local module
  for module in virtio_mmio virtio_blk virtio_net virtio_rng virtio_console; do
    add_module "$module" "$stage"
  done
  # Byte-identical output for identical input: fixed times, owners, order and no gzip name.
  find "$stage" -exec touch -h -d @0 {} +
  (cd "$stage" && find . -print0 | LC_ALL=C sort -z |
    cpio --quiet -0 -o -H newc --reproducible -R 0:0) | gzip -n -9 > "$2.new"
  mv "$2.new" "$2"
  rm -rf "$stage"
}
