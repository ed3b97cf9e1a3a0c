#!/usr/bin/env bash
# private-daemon.sh BINDIR COMMAND…: runs COMMAND beside a Corten daemon of its own, in a network and a mount
# namespace of their own, with $CORTEN_SOCKET, $DOCKER_HOST and the programs on the PATH. Leaves nothing behind.
. "$(dirname "$0")/lib.sh"
if [ "${CORTEN_PRIVATE:-}" != $$ ]; then
  need_root "$0"
  packages iproute2
  # exec keeps the process id: the second time round the namespaces are there.
  CORTEN_PRIVATE=$$ exec unshare --mount --net --propagation private -- "$0" "$@"
fi
unset CORTEN_PRIVATE
bin=$(readlink -f "$1"); shift
root=$(mktemp -d /tmp/ct-private.XXXXXX)
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /run
export PATH=$bin:$PATH CORTEN_SOCKET=$root/corten.sock
export DOCKER_HOST=unix://$CORTEN_SOCKET CORTEN_HOST=unix://$CORTEN_SOCKET
daemon=
finish() {
  local status=$? containers
  containers=$(corten ps -aq) && [ -z "$containers" ] || corten rm -f $containers >/dev/null || status=1
  # COMMAND may have replaced the daemon that was started here.
  [ ! -s "$root/pid" ] || daemon=$(<"$root/pid")
  if [ -n "$daemon" ] && kill -TERM "$daemon" 2>/dev/null; then
    timeout 30 tail --pid "$daemon" -s 0.05 -f /dev/null || status=1
  fi
  [ $status = 0 ] || tail -n 30 "$root/daemon.log" | sed 's/^/daemon.log: /' >&2
  rm -rf "$root" || status=1
  exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM
corten daemon --data-root "$root/data" --exec-root "$root/exec" --pidfile "$root/pid" -H "unix://$CORTEN_SOCKET" \
  >"$root/daemon.log" 2>&1 </dev/null &
daemon=$!
disown
for ((i = 0; i < 200; i++)); do
  ! corten version >/dev/null 2>&1 || break
  kill -0 $daemon 2>/dev/null || die "the daemon ended"
  sleep 0.05
done
corten version >/dev/null || die "the daemon does not answer"
"$@"
