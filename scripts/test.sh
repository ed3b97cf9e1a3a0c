#!/usr/bin/env bash
# Everything that must hold: format, lints, all tests, and those of runtime and engine under two other kernels too.
# Installs what the tests need. As root. SKIP_VM=1 leaves the other kernels out, where they cannot be had, and says so.
. "$(dirname "$0")/lib.sh"
need_root make test
# Started in the background of a script, this would have Ctrl-C ignored, and so would every program under test.
[ -n "${SIGNALS_RESET:-}" ] || SIGNALS_RESET=1 exec env --default-signal=HUP,INT,QUIT "$0" "$@"
find_cargo
packages gcc libc6-dev busybox-static iproute2 nftables procps
cd "$top"
for tool in fmt clippy; do
  cargo $tool --version >/dev/null 2>&1 || rustup component add rust$tool 2>/dev/null || rustup component add $tool
done

stages=() log=$(mktemp) began=$SECONDS
trap 'rm -f "$log"' EXIT
stage() { # NAME COMMAND…
  local name=$1 from=$SECONDS; shift
  say "$name"
  "$@" || die "failed: $name"
  stages+=("$(printf '%5d s  %s' $((SECONDS - from)) "$name")")
}
# These machines are noisy, so a test that fails is tried once more, alone, before it counts. It is named all the same:
# one that fails now and then is a bug to find.
tests() {
  cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$log" && return
  local failed
  # From the summaries: what a test and its daemon print may stand in front of "test NAME ... FAILED".
  mapfile -t failed < <(awk '/^failures:$/ { on = 1 } /^test result:/ { on = 0 } on && /^    [a-z0-9_:]+$/ { print $1 }' "$log" |
    sort -u)
  [ ${#failed[@]} -gt 0 ] || return 1
  say "once more, because of: ${failed[*]}"
  cargo test --locked --workspace --no-fail-fast -- --exact --test-threads 1 "${failed[@]}"
}

stage "format" cargo fmt --all --check
stage "lints" cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
# Black-box tests run the programs, which `cargo test -p` of one crate alone would not build anew.
stage "programs" cargo build --quiet --locked -p corten -p shim -p runtime
stage "tests" tests
if [ -z "${SKIP_VM:-}" ]; then
  stage "other kernels" env CRATES="runtime engine" scripts/test-vm.sh
  # The only machine whose clock may be set.
  stage "a jumping clock" env CRATES=corten FILTER=clock:: scripts/test-vm.sh newest
fi

say "all of it passed in $((SECONDS - began)) s"
printf '%s\n' "${stages[@]}"
[ -z "${SKIP_VM:-}" ] || echo "  LEFT OUT: the tests under other kernels and cgroup v2, because of SKIP_VM"
awk '/^test result:/ { passed += $4; n++ } END { printf "%7d tests in %d programs\n", passed, n }' "$log"
