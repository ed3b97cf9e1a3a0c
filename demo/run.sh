#!/usr/bin/env bash
# The tour: a real Redis under Corten, its daemon killed under it, and nothing left at the end.
. "$(dirname "$0")/../scripts/lib.sh"
need_root make demo
packages iproute2 util-linux procps
bin=${CORTEN_BIN:-$top/bin}
[ -x "$bin/corten" ] || die "bin/corten is missing: run 'make build' first"

work=$(mktemp -d /tmp/corten-demo.XXXXXX)
export PATH=$bin:$PATH CORTEN_HOST=unix://$work/corten.sock
step="setting up" daemon='' clients=()

# ---------------------------------------------------------------- telling what happens
bold='' plain=''
if [ -t 1 ]; then bold=$(tput bold 2>/dev/null || true) plain=$(tput sgr0 2>/dev/null || true); fi
step() { step=$*; printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
show() { # runs a command after printing it as one would type it
  local word line=
  for word; do
    [[ $word != *[^A-Za-z0-9_./:=,@-]* ]] || word="'$word'"
    line+=" $word"
  done
  printf '%s$%s%s\n' "$bold" "$line" "$plain"
  "$@"
}
tell() { printf '   %s\n' "$*"; }
until_true() { # WHAT COMMAND…: waits for it, 15 seconds at most
  local what=$1 i; shift
  for ((i = 0; i < 300; i++)); do ! "$@" >/dev/null 2>&1 || return 0; sleep 0.05; done
  echo "never: $what" >&2; return 1
}
is() { # WHAT WANTED GOT
  [ "$2" = "$3" ] || { echo "$1: expected $2, got $3" >&2; return 1; }
  tell "$1: ${3:-none}"
}

# ---------------------------------------------------------------- leaving nothing
ours() { # processes of this demo: they carry its directory in their arguments or environment, or are in its cgroups
  local p
  for p in /proc/[0-9]*; do
    [ "${p#/proc/}" != $$ ] && [ "${p#/proc/}" != "$BASHPID" ] || continue
    if grep -qsF "$work" "$p/cmdline" "$p/environ" || { [ -s "$work/group" ] && grep -qsFf "$work/group" "$p/cgroup"; }
    then echo "${p#/proc/}"; fi
  done
}
remains() { # what is left of this demo in the kernel: by the engine's cgroup, our directory, the namespaces we saw
  local group; group=$(cat "$work/group")
  find /sys/fs/cgroup -type d -path "*$group*" 2>/dev/null | sed 's/^/cgroup /'
  grep -F "$work" /proc/self/mountinfo | sed 's/^/mount /' || true
  lsns -n -o NS | grep -Fxf "$work/namespaces" | sed 's/^/namespace /' || true
}
finish() {
  local status=$? pid
  trap - EXIT ERR
  if [ $status != 0 ]; then
    printf '\n%sThe demo failed while %s.%s\n' "$bold" "$step" "$plain" >&2
    tail -n 15 "$work/daemon.log" 2>/dev/null | sed 's/^/   daemon: /' >&2
  fi
  for pid in "${clients[@]}" $daemon; do
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  # After a failure containers may still run: end them by their process ids, one by one.
  for pid in $(ours); do kill -KILL "$pid" 2>/dev/null || true; done
  if [ -s "$work/group" ]; then
    find /sys/fs/cgroup -depth -type d -path "*$(cat "$work/group")*" -exec rmdir {} + 2>/dev/null || true
  fi
  rm -rf "$work"
  exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

start_daemon() {
  printf '%s$ corten daemon --data-root %s/data … &%s\n' "$bold" "$work" "$plain"
  corten daemon --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" -H "$CORTEN_HOST" \
    >>"$work/daemon.log" 2>&1 </dev/null &
  daemon=$!
  until_true "the daemon answers" corten version
  tell "pid $daemon, log $work/daemon.log"
}

# ---------------------------------------------------------------- the tour
step "making a Debian root file system with Redis"
rootfs=$("$top/demo/rootfs.sh")
tell "$rootfs, $(($(stat -c %s "$rootfs") / 1000000)) MB"

step "starting a daemon, with everything it owns below $work"
start_daemon
show corten import -m 'Debian with Redis' -c 'USER redis' -c 'WORKDIR /var/lib/redis' \
  -c 'CMD ["redis-server", "--save", "", "--appendonly", "no"]' "$rootfs" demo/redis
show corten images

step "running Redis, limited to one CPU and 256 MiB"
show corten run -d --name redis --network none --cpus 1 -m 256m demo/redis
until_true "Redis answers" corten exec redis redis-cli ping
show corten exec redis redis-cli set greeting "hello from a container"
show corten exec redis redis-cli get greeting
show corten ps
show corten logs --tail 3 redis

step "looking at what the kernel says: namespaces of its own"
pid=$(corten inspect -f '{{.State.Pid}}' redis)
show ps -o pid,ppid,user,args -p "$pid,$(ps -o ppid= -p "$pid" | tr -d ' ')"
show lsns -p "$pid" -o TYPE,NS,NPROCS,COMMAND
for kind in mnt pid net ipc uts; do
  [ "$(readlink "/proc/$pid/ns/$kind")" != "$(readlink "/proc/self/ns/$kind")" ] || { echo "$kind is the host's" >&2; exit 1; }
  stat -L -c %i "/proc/$pid/ns/$kind" >>"$work/namespaces"
done

step "looking at what the kernel says: the limits in effect"
limit() { # V1CONTROLLER V1FILE V2FILE: a control file of the container, in whichever hierarchy has it
  local path
  path=$(sed -n "s/^[0-9]*:\([^:]*,\)\?$1\(,[^:]*\)\?:\(.*\)/\3/p" "/proc/$pid/cgroup")
  if [ -n "$path" ]; then cat "$(findmnt -n -t cgroup -O "$1" -o TARGET | head -n 1)$path/$2"
  else cat "$(findmnt -n -t cgroup2 -o TARGET | head -n 1)$(sed -n 's/^0:://p' "/proc/$pid/cgroup")/$3"; fi
}
# The engine's root cgroup: everything below it is this daemon's.
grep -o '/corten-[^/]*' "/proc/$pid/cgroup" | sort -u | head -n 1 >"$work/group"
is "memory limit in bytes" $((256 << 20)) "$(limit memory memory.limit_in_bytes memory.max)"
quota=$(limit cpu cpu.cfs_quota_us cpu.max) period=$(limit cpu cpu.cfs_period_us cpu.max)
is "CPU time per period of ${period##* } µs" "${period##* }" "${quota%% *}"
tell "processes at most: $(limit pids pids.max pids.max)"

step "attaching a client and an exec session that will outlive the daemon"
tick='i=0; while :; do i=$((i + 1)); echo "tick $i"; sleep 0.1; done'
corten run --name ticker --network none demo/redis sh -c "$tick" >"$work/attached" 2>&1 & clients+=($!)
corten exec redis sh -c "$tick" >"$work/executed" 2>&1 & clients+=($!)
ticks() { [ "$(grep -c ^tick "$work/$1" 2>/dev/null)" -ge "$2" ]; }
until_true "ticks arrive" ticks attached 5
until_true "ticks arrive" ticks executed 5
tell "attached to 'ticker': $(tail -n 1 "$work/attached"); exec in 'redis': $(tail -n 1 "$work/executed")"

step "killing the daemon with SIGKILL"
show kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
daemon=
until_true "the daemon is gone" sh -c '! corten version'
attached=$(grep -c ^tick "$work/attached") executed=$(grep -c ^tick "$work/executed")
tell "no daemon now; Redis is asked without one, by entering its namespaces:"
show nsenter -t "$pid" -m -n -- redis-cli get greeting
show nsenter -t "$pid" -m -n -- redis-cli set greeting "written while no daemon ran"
until_true "the attached client still gets output" ticks attached $((attached + 10))
until_true "the exec session still gets output" ticks executed $((executed + 10))
tell "attached to 'ticker': $(tail -n 1 "$work/attached"); exec in 'redis': $(tail -n 1 "$work/executed")"

step "starting the daemon again"
start_daemon
show corten ps
show corten exec redis redis-cli get greeting
is "Redis has the same process" "$pid" "$(corten inspect -f '{{.State.Pid}}' redis)"
corten kill ticker >/dev/null
code=0; wait "${clients[0]}" || code=$?
is "exit code of the client that was attached all the time" 137 "$code"
seq -f 'tick %g' "$(grep -c ^tick "$work/attached")" >"$work/wanted"
diff -q "$work/wanted" "$work/attached" >/dev/null || { echo "the attached client missed output" >&2; exit 1; }
diff -q "$work/wanted" <(corten logs ticker) >/dev/null || { echo "the log has a gap" >&2; exit 1; }
tell "$(wc -l <"$work/attached") ticks, none missing, on the client as in 'corten logs ticker'"
show corten stop redis
show corten logs --tail 2 redis
is "exit code of Redis" 0 "$(corten inspect -f '{{.State.ExitCode}}' redis)"

step "cleaning up, and looking for what is left"
wait "${clients[1]}" || true
show corten rm redis ticker
show corten rmi demo/redis
show kill -TERM "$daemon"
wait "$daemon"
daemon=
left=$(ours)
is "processes left" "" "$left"
is "cgroups, mounts and namespaces left" "" "$(remains)"
printf '\n%sThat was it. Nothing is left but the cached root file system.%s\n' "$bold" "$plain"
