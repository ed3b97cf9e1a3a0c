#!/usr/bin/env bash
# docker-py.sh [BINDIR]: what programs do with docker-py, the Docker SDK for Python, against a Corten daemon of its own;
# without BINDIR, one that is built first.
# docker-py comes from PyPI, into the target directory; without a way there this says so and is content.
. "$(dirname "$0")/lib.sh"
need_root "$0" "$@"
packages python3 python3-venv
if [ $# = 0 ]; then
  find_cargo
  packages gcc libc6-dev
  (cd "$top" && cargo build --quiet --locked -p corten -p shim -p runtime)
fi
bin=${1:-$target/$(tuple)/debug}
[ -x "$bin/corten" ] || die "no corten in $bin"
mkdir -p "$target"
venv=$target/docker-py
if ! "$venv/bin/python" -c 'import docker' 2>/dev/null; then
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install -q docker; } >"$target/docker-py.log" 2>&1; then
    say "SKIPPED: docker-py cannot be installed (no network?): $target/docker-py.log"
    exit 0
  fi
fi
image=$(mktemp /tmp/docker-py.XXXXXX.tar)
trap 'rm -f "$image"' EXIT
"$top/scripts/busybox-rootfs.sh" "$image"
"$top/scripts/private-daemon.sh" "$bin" "$venv/bin/python" "$top/scripts/docker-py.py" "$image"
