#!/usr/bin/env bash
# kernel.sh DIR SUITE…: makes DIR/{vmlinuz,release,lib/modules/…} from Debian's kernel for 64-bit PCs, of the first of
# these suites that has one. Packages are downloaded and unpacked, nothing is installed. Does nothing if DIR is there;
# remove it to get a newer one.
. "$(dirname "$0")/../lib.sh"
dir=$(readlink -m "$1"); shift
made_by=$(cksum <"$0")
[ ! -e "$dir/made-by" ] || [ "$(<"$dir/made-by")" != "$made_by" ] || exit 0
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $keyring ] || packages debian-archive-keyring
packages xz-utils busybox-static

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt's downloads run as a user of their own
mkdir -p "$work"/{lists/partial,cache/archives/partial,deb,root}
chown -f _apt "$work/deb" || true
private_apt() { # a state of its own: the machine's sources stay as they are
  "$@" -q -o Dir::Etc::SourceList="$work/sources" -o Dir::Etc::SourceParts=- -o Dir::State::lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Architecture=amd64 -o Acquire::Languages=none \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
}
parts() { # the packages that make up the newest kernel: newer releases have split it
  private_apt apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances linux-image-amd64 | grep -E '^linux-(image|binary|modules)-[0-9]' | sort -u
}
download() { # SUITE MIRROR
  local names
  printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$2" "$1" >"$work/sources"
  private_apt apt-get update >"$work/log" 2>&1 || return 1
  names=$(parts) || return 1
  (cd "$work/deb" && private_apt apt-get download $names) >>"$work/log" 2>&1
}
for suite; do
  say "kernel of Debian $suite"
  for mirror in $(debian_mirrors); do
    download "$suite" "$mirror" && found=$suite && break 2
    tail -n 3 "$work/log" >&2
  done
done
[ -n "${found:-}" ] || die "no kernel of Debian could be had, of: $*. DEBIAN_MIRROR=… names another mirror"

# Only what a container engine can want: all of net and the file systems below, and what these need.
for package in "$work"/deb/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -C "$work/root" --wildcards --ignore-case -x \
    '*/vmlinuz*' '*/modules.builtin*' '*/modules.order' '*/kernel/net' '*/kernel/lib' '*/kernel/crypto' \
    '*/kernel/arch/x86/crypto' '*/kernel/fs/9p' '*/kernel/fs/netfs' '*/kernel/fs/fscache' '*/kernel/fs/overlayfs' \
    '*/kernel/fs/ext4' '*/kernel/fs/jbd2' '*/kernel/fs/mbcache.ko*' '*/kernel/drivers/block/virtio_blk.ko*' \
    '*/kernel/drivers/virtio' '*/kernel/drivers/net/veth.ko*' '*/kernel/drivers/net/dummy.ko*' \
    '*/kernel/drivers/net/tun.ko*' 2>/dev/null || true # not every package has all of these
done
[ ! -d "$work/root/usr/lib/modules" ] || mv "$work/root/usr/lib" "$work/root/lib"
release=$(basename "$work"/root/lib/modules/*)
[ -d "$work/root/lib/modules/$release/kernel/fs/overlayfs" ] || die "no modules in the kernel packages of Debian $found"
find "$work/root/lib/modules" -name '*.ko.xz' -exec xz -d -T0 {} +
busybox depmod -b "$work/root" "$release"
mkdir -p "$(dirname "$dir")"
rm -rf "$dir"
mkdir "$dir"
cp "$(find "$work/root" -name 'vmlinuz*' | head -n 1)" "$dir/vmlinuz"
mv "$work/root/lib" "$dir/lib"
echo "$release" >"$dir/release"
echo "$made_by" >"$dir/made-by"
echo "Debian $found: Linux $release"
