#!/usr/bin/env bash
# busybox-rootfs.sh FILE: a small root file system of Debian's static busybox as a tar; the same bytes each time.
. "$(dirname "$0")/lib.sh"
packages busybox-static
file=$(readlink -m "$1")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,etc,proc,root,run,sys,tmp,usr/bin,usr/sbin,sbin,var/tmp}
chmod 1777 "$root/tmp" "$root/var/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
"$root/bin/busybox" --list | grep -vx busybox | while read -r applet; do ln -s busybox "$root/bin/$applet"; done
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\ndaemon:x:1:\nusers:x:100:\n' >"$root/etc/group"
tar -C "$root" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$file.part" .
mv "$file.part" "$file"
