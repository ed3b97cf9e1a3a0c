# shellcheck shell=bash
# What the scripts of this repository share. Sourced, not run: top=… is the repository.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$top/target}

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "must run as root: sudo $*"; }

# `sudo make …` has root's PATH; the Rust of the user who typed it will do.
find_cargo() {
  local home
  if ! command -v cargo >/dev/null && [ -n "${SUDO_USER:-}" ]; then
    home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
    export PATH=$home/.cargo/bin:$PATH RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup} CARGO_HOME=${CARGO_HOME:-$home/.cargo}
  fi
  command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs"
}

# packages NAME…: Debian packages that must be there; quiet when they are
packages() {
  local name missing=()
  for name; do
    dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "please install: ${missing[*]}"
  [ "$(id -u)" = 0 ] || die "please install, or run this as root: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null
}

# Debian's mirrors, best first: the one that this machine uses, if it is a Debian, and the one that has everything.
debian_mirrors() {
  [ -z "${DEBIAN_MIRROR:-}" ] || { echo "$DEBIAN_MIRROR"; return; }
  local own
  own=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sed -n 's|/debian/*$|/debian|p' | head -n 1)
  [ -z "$own" ] || echo "$own"
  [ "$own" = http://deb.debian.org/debian ] || echo http://deb.debian.org/debian
}

tuple() { rustc -vV | sed -n 's/^host: //p'; }
