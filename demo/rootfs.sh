#!/usr/bin/env bash
# rootfs.sh: prints the path of a tar with a real Debian root file system that has Redis in it; made once.
. "$(dirname "$0")/../scripts/lib.sh"
need_root make demo
# The suite of this machine where it is a Debian, else the one that this was tried with.
suite=bookworm mirror=http://deb.debian.org/debian
. /etc/os-release
if [ "${ID:-}" = debian ] && [ -n "${VERSION_CODENAME:-}" ]; then
  suite=$VERSION_CODENAME
  # Its own mirror, which may be the only one that can be reached.
  own=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -E '/debian/?$' | sort -u | head -n 1)
  mirror=${own:-$mirror}
fi
tar=$target/demo/debian-$suite-redis.tar
[ -e "$tar" ] || {
  packages mmdebstrap debian-archive-keyring >&2
  say "making a Debian $suite root file system with Redis (once; a minute or two)" >&2
  mkdir -p "$target/demo"
  mapfile -t apt < <(apt-config dump | grep -E '^Acquire::(Check-|https?::)' | sed 's/^/--aptopt=/')
  mmdebstrap --quiet --mode=root --variant=minbase --include=redis-server --format=tar "${apt[@]}" \
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    "$suite" "$tar.part" "$mirror" >&2
  mv "$tar.part" "$tar"
}
echo "$tar"
