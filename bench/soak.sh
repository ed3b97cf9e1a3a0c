#!/usr/bin/env bash
# soak.sh [CONTAINERS [RUNS [EXECS [KILLS]]]]: what takes minutes and must hold all the same (1000, 2000, 1000, 200).
#
#   idle    so many containers run at once, are listed, stopped and removed; again, with a new daemon in between
#   runs    50 at a time, `run --rm` so often: none fails
#   execs   so many execs in one container
#   kills   SIGKILL to the daemon and to shims so often, at random moments under a mixed load
#
# After each of the first three (the first is done twice) the daemon's memory (PSS), descriptors and threads must be
# where they were: what is more than a quarter and 4 MiB above fails. Needs root; measures bin/, or $CORTEN_BIN.
. "$(dirname "$0")/../scripts/lib.sh"
if [ "${1:-}" != inside ]; then
  need_root "$0"
  bin=${CORTEN_BIN:-$top/bin}
  [ -x "$bin/corten" ] || die "$bin/corten is missing: run 'make build' first"
  "$top/scripts/private-daemon.sh" "$bin" "$0" inside "${1:-1000}" "${2:-2000}" "${3:-1000}"
  [ "${4:-200}" = 0 ] || {
    say "kills"
    find_cargo
    cd "$top"
    cargo build --quiet --locked -p corten -p shim -p runtime
    CORTEN_KILLS=${4:-200} cargo test --locked -p corten --test it -- --nocapture random_kills
  }
  exit
fi
containers=$2 runs=$3 execs=$4
root=$(dirname "$CORTEN_SOCKET")
failed=0

# pss PID…: kB of memory that are these processes' own share
pss() { local pid; for pid; do cat "/proc/$pid/smaps_rollup" 2>/dev/null; done | awk '/^Pss:/ { kb += $2 } END { print kb + 0 }'; }
# Pids of this daemon's shims: they are in a cgroup of their own, named after the data root.
shims() { cat /sys/fs/cgroup/{memory/,}"corten-$(printf %s "$root/data" | sha256sum | cut -c1-8)"/shims/cgroup.procs 2>/dev/null || true; }
level() { # PSS, descriptors, threads of the daemon
  local pid; pid=$(<"$root/pid")
  echo "$(pss "$pid") $(ls "/proc/$pid/fd" | wc -l) $(ls "/proc/$pid/task" | wc -l)"
}
now() { date +%s%N; }
took() { echo "$((($(now) - $1) / 1000000)) ms"; }
# settled WHAT BEFORE: the level, once it is down again
settled() {
  local before=($2) after i
  for ((i = 0; i < 60; i++)); do
    after=($(level))
    ((after[0] > before[0] * 5 / 4 + 4096 || after[1] > before[1] + 8 || after[2] > before[2] + 2)) || break
    sleep 1
  done
  printf '  daemon before: %s kB, %s fds, %s threads; after: %s kB, %s fds, %s threads\n' "${before[@]}" "${after[@]}"
  ((i < 60)) || { echo "  GREW by $1"; failed=1; }
}

"$top/scripts/busybox-rootfs.sh" "$root/busybox.tar"
corten import -c 'CMD ["sh"]' "$root/busybox.tar" busybox >/dev/null
# Once everything has been used, so that what is made on first use is not taken for growth.
for i in 1 2 3; do corten run --rm busybox true; done
for i in $(seq 50); do corten run --rm busybox true & done; wait

start_all() {
  local from; from=$(now)
  seq "$containers" | xargs -P 8 -I N corten run -d --name idle-N busybox sleep 100000 >/dev/null || failed=1
  printf '  started in %s; running: %s\n' "$(took "$from")" "$(corten ps -q | wc -l)"
}
stop_all() {
  local from; from=$(now)
  corten ps -q | xargs -P 8 -n 25 corten stop -t 0 >/dev/null || failed=1
  echo "  all stopped in $(took "$from")"
}
remove_all() {
  local from; from=$(now)
  corten ps -aq | xargs -P 8 -n 25 corten rm >/dev/null || failed=1
  printf '  all removed in %s; left: %s\n' "$(took "$from")" "$(corten ps -aq | wc -l)"
}
# restart WITH WHAT: the daemon dies, and the next one answers
restart() {
  local from pid; pid=$(<"$root/pid")
  kill -9 "$pid"
  from=$(now)
  corten daemon --data-root "$root/data" --exec-root "$root/exec" --pidfile "$root/pid" -H "unix://$CORTEN_SOCKET" \
    >>"$root/daemon.log" 2>&1 </dev/null & disown
  until corten ps -q >/dev/null 2>&1; do sleep 0.01; done
  echo "  a new daemon answers with $1 after $(took "$from")"
}

say "idle: $containers containers, for the first time"
echo "  daemon: $(level) (kB, fds, threads)"
start_all
stop_all
remove_all
sleep 15
echo "  daemon: $(level)"

# Pieces of the heap that a burst leaves between what lives on are used again by the next one. So growth is what a
# second burst of the same size adds.
say "idle: $containers containers, for the second time"
before=$(level)
start_all
printf '  daemon: %s (kB, fds, threads); shims: %s kB in all\n' "$(level)" "$(pss $(shims))"
from=$(now); corten ps -a >/dev/null; echo "  ps -a in $(took "$from")"
from=$(now); corten inspect $(corten ps -aq) >/dev/null; echo "  inspect of all in $(took "$from")"
stop_all
remove_all
settled "$containers containers" "$before"

say "daemon starts: $containers containers"
start_all
restart "$containers running containers"
[ "$(corten ps -q | wc -l)" = "$containers" ] || { echo "  NOT ALL RUN after the restart"; failed=1; }
stop_all
restart "$containers stopped containers"
remove_all

say "runs: $runs times run --rm, 50 at a time"
before=$(level) from=$(now)
seq "$runs" | xargs -P 50 -I N sh -c 'test "$(corten run --rm busybox echo N 2>&1)" = N || { echo "run N failed"; exit 1; }' \
  || failed=1
echo "  $runs runs in $(took "$from"); left: $(corten ps -aq | wc -l)"
settled "$runs runs" "$before"

say "execs: $execs times in one container"
corten run -d --name execs busybox sleep 100000 >/dev/null
corten exec execs true
shim=$(awk '/^PPid:/ { print $2 }' "/proc/$(corten inspect -f '{{.State.Pid}}' execs)/status")
before=$(level) shim_before=$(pss "$shim") from=$(now)
seq "$execs" | xargs -P 8 -I N corten exec execs true || failed=1
echo "  $execs execs in $(took "$from")"
settled "$execs execs" "$before"
shim_after=$(pss "$shim")
echo "  shim before: $shim_before kB; after: $shim_after kB"
((shim_after <= shim_before + 256)) || { echo "  GREW: the shim"; failed=1; }
corten rm -f execs >/dev/null
[ $failed = 0 ] || die "something failed or grew"
