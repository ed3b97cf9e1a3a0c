#!/usr/bin/env bash
# record-docker.sh [SOCKET]: records again what a real dockerd answers, for the tests that compare ours with it
# (crates/api-server/tests/it/fixtures). SOCKET is that of a dockerd with nothing to do, in whose network namespace
# this runs; without one, the dockerd on the PATH is started in namespaces of its own.
. "$(dirname "$0")/lib.sh"
need_root "$0" "$@"
find_cargo
packages gcc libc6-dev iproute2
if [ $# = 0 ] && [ "${RECORD_PRIVATE:-}" != $$ ]; then
  command -v dockerd >/dev/null || die "no dockerd on the PATH: give the socket of one"
  # exec keeps the process id: the second time round the namespaces are there.
  RECORD_PRIVATE=$$ exec unshare --mount --net --propagation private -- "$0"
fi
socket=${1:-}
if [ -z "$socket" ]; then
  root=$(mktemp -d /tmp/record-docker.XXXXXX)
  ip link set lo up
  mount -t tmpfs -o mode=755 tmpfs /run
  dockerd --data-root "$root/data" --exec-root "$root/exec" -p "$root/pid" -H "unix://$root/docker.sock" \
    >"$root/log" 2>&1 </dev/null &
  daemon=$!
  trap 'kill $daemon; wait $daemon || true; rm -rf "$root"' EXIT
  socket=$root/docker.sock
  for ((i = 0; i < 600; i++)); do
    [ ! -S "$socket" ] || break
    kill -0 $daemon 2>/dev/null || { cat "$root/log" >&2; die "dockerd ended"; }
    sleep 0.05
  done
fi
cd "$top"
CORTEN_RECORD_FROM=$socket cargo test -p api-server --test it -- documents_have every_endpoint_refuses every_shape --test-threads 1
git diff --stat -- crates/api-server/tests/it/fixtures
