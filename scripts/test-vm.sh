#!/usr/bin/env bash
# Runs whole integration test programs under other kernels, with cgroup v2 alone: Debian 12's 6.1, and the newest that
# Debian has; and what concerns systemd in a small Debian that it runs. All are stock kernels in an emulated machine;
# nothing is installed but the emulator. As root.
# A test that fails is tried once more, alone, and named, as in `make test`.
#   test-vm.sh [GUEST…] [-- COMMAND]     bookworm, newest, systemd; default is all. COMMAND: a shell line instead of tests
# CRATES: whose tests/it (linux: unit tests). FILTER: words for each test program, as `cargo test -- WORDS`.
. "$(dirname "$0")/lib.sh"
need_root make test-vm
[ "$(uname -m)" = x86_64 ] || die "the guests are 64-bit PCs and run this machine's programs, which are for $(uname -m)"
find_cargo
packages gcc libc6-dev qemu-system-x86 e2fsprogs busybox-static iproute2 nftables procps
cd "$top"
names=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do names+=("$1"); shift; done
[ ${#names[@]} -gt 0 ] || names=(bookworm newest systemd)
[ $# = 0 ] || shift
command=$*
read -ra crates <<<"${CRATES:-linux runtime shim snapshots engine corten}"
limit=${VM_TIMEOUT:-900}
vm=$target/vm
for name in bin sbin lib64; do [ -L /$name ] || die "/$name is not a link into /usr on this machine"; done

kernel_of() { # GUEST
  case $1 in
  systemd) echo "$vm/newest" ;;
  *) echo "$vm/$1" ;;
  esac
}
prepare() { # GUEST
  case $1 in
  bookworm) scripts/vm/kernel.sh "$vm/$1" bookworm ;;
  newest) scripts/vm/kernel.sh "$vm/$1" sid trixie-backports trixie ;;
  systemd) prepare newest && scripts/vm/systemd.sh "$vm/$1" ;;
  *) die "no such guest: $1" ;;
  esac
}

# "CRATE KIND DIRECTORY PROGRAM" lines, KIND being lib or test. All packages, as in `make test`: others would be built
# with other features, and anew.
programs() {
  cargo test --quiet --locked --workspace --lib --test it --no-run --message-format=json |
    sed -n 's|.*"manifest_path":"\([^"]*/crates/\([^"/]*\)\)/Cargo.toml".*"kind":\["\([a-z]*\)"\].*"executable":"\([^"]*\)".*|\2 \3 \1 \4|p'
}

job() { # GUEST: its script
  local crate kind directory program filter=${FILTER:-} tested=("${crates[@]}")
  cat <<'END'
export CORTEN_TEST_GUEST=1 CORTEN_TEST_SLOWNESS=10 RUST_BACKTRACE=0
ulimit -n 4096
hostname guest
ip link set lo up
echo "guest: $(uname -sr), cgroup $(stat -fc %T /sys/fs/cgroup), up after $(cut -d' ' -f1 /proc/uptime) s"
failed=0
run() { # CRATE DIRECTORY PROGRAM [WORD…]
  echo "guest: tests of $1, at $(cut -d' ' -f1 /proc/uptime) s"
  cd "$2" && shift 2
  { "$@" 2>&1 </dev/null || touch /run/tests.failed; } | tee /run/tests.log
  [ -e /run/tests.failed ] || return 0
  rm /run/tests.failed
  again=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' /run/tests.log)
  [ -z "$again" ] || echo "guest: once more, because of:" $again
  [ -n "$again" ] && "$1" --exact --test-threads=1 $again </dev/null || { failed=$((failed + 1)); echo "guest: failed"; }
}
END
  if [ -n "$command" ]; then
    printf 'export PATH=%s:$PATH\n' "$target/$(tuple)/debug"
    printf '{ %s\n} || failed=1\n' "$command"
    tested=()
  elif [ "$1" = systemd ]; then
    tested=(runtime) filter=systemd
  fi
  for crate in "${tested[@]}"; do
    kind=test
    [ "$crate" != linux ] || kind=lib
    read -r _ _ directory program < <(grep "^$crate $kind " "$work/programs") || die "crate $crate has no such tests"
    echo "run $crate $directory $program --test-threads=${THREADS:-4} $filter"
  done
  # What a test there leaves out for want of a systemd would be all of it.
  [ "${tested[*]} $filter" != "runtime systemd" ] || cat <<'END'
! grep '^running 0 tests\|^skipped' /run/tests.log || { failed=$((failed + 1)); echo "guest: failed"; }
END
  [ "$1" = systemd ] || cat <<'END'
left=$(find /sys/fs/cgroup -mindepth 1 -type d)
[ -z "$left" ] || { echo "guest: cgroups are left: $left"; failed=$((failed + 1)); }
END
  cat <<'END'
echo "guest: done at $(cut -d' ' -f1 /proc/uptime) s, $failed failed"
sync
exec busybox poweroff -f
END
}

initramfs() { # GUEST FILE
  local root=$work/initramfs.$1 kernel release name
  kernel=$(kernel_of "$1")
  release=$(<"$kernel/release")
  mkdir -p "$root"/{bin,dev,etc,proc,sys,"lib/modules/$release/kernel"}
  cp "$(command -v busybox)" "$root/bin/busybox"
  busybox --list | while read -r name; do [ "$name" = busybox ] || ln -s busybox "$root/bin/$name"; done
  ln -s bin "$root/sbin"
  # Only what it takes to see the machine's files and a disk, and the rest of the modules there.
  (cd "$kernel/lib/modules/$release" && cp -r --parents modules.builtin* modules.order kernel/drivers/virtio \
    kernel/net/9p kernel/fs/9p kernel/fs/netfs kernel/fs/fscache kernel/drivers/block/virtio_blk.ko* kernel/fs/ext4 \
    kernel/fs/jbd2 kernel/fs/mbcache.ko* kernel/lib kernel/crypto/crc32c* "$root/lib/modules/$release/" 2>/dev/null) || true
  busybox depmod -b "$root" "$release" 2>/dev/null
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n' >"$root/etc/passwd"
  printf 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' >"$root/etc/group"
  echo guest >"$root/etc/hostname"
  printf '127.0.0.1 localhost guest\n' >"$root/etc/hosts"
  cp -a /etc/alternatives /etc/ld.so.cache /etc/ld.so.conf* "$root/etc/"
  cp scripts/vm/init "$root/init"
  job "$1" >"$root/job"
  cp "$work/shares" "$root/"
  if [ "$1" = systemd ]; then
    touch "$root/systemd"
    sed -i '/^usr /d' "$root/shares"
  fi
  readlink -f "$kernel/lib/modules" >"$root/modules"
  chmod 755 "$root/init"
  (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$2"
}

boot() { # GUEST: runs the guest to its end
  local out=$work/$1.out console=$work/$1.console disk=$work/$1.disk devices=() content=() tag path
  initramfs "$1" "$work/$1.cpio.gz"
  while read -r tag path; do
    devices+=(-fsdev "local,id=$tag,path=$path,security_model=none,readonly=on,multidevs=remap"
      -device "virtio-9p-pci,fsdev=$tag,mount_tag=$tag")
  done <"$work/shares"
  : >"$out"
  truncate -s 8G "$disk"
  [ "$1" != systemd ] || content=(-d "$vm/systemd/root")
  mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=1,nodiscard "${content[@]}" "$disk"
  # One thread emulates both processors: several miss code that the kernel patches at run time, and the guest panics.
  # Programs at the same address every time need not be translated anew, and nobody waits for lazy grace periods: this
  # is four times as fast.
  exec timeout --foreground "$limit" qemu-system-x86_64 -accel tcg,thread=single -machine q35 -cpu max -smp 2 -m 3072 \
    -nodefaults -no-user-config -display none -monitor none -no-reboot -serial "file:$console" -serial "file:$out" \
    -drive "file=$disk,format=raw,if=virtio,cache=unsafe" -device virtio-rng-pci "${devices[@]}" \
    -kernel "$(kernel_of "$1")/vmlinuz" -initrd "$work/$1.cpio.gz" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off nokaslr norandmaps init_on_alloc=0 rcupdate.rcu_expedited=1"
}

mkdir -p "$vm"
declare -A guests=()
work=$(mktemp -d -p "$vm" run.XXXXXX)
finish() {
  for name in "${!guests[@]}"; do kill "${guests[$name]}" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
for name in "${names[@]}"; do prepare "$name"; done
say "test programs"
cargo build --quiet --locked -p corten -p shim -p runtime
programs >"$work/programs"
# What the guest sees of this machine, read-only. The target directory may be inside the repository.
{
  echo "usr /usr"
  echo "top $top"
  [[ $(readlink -f "$target")/ == "$top"/* ]] || echo "target $(readlink -f "$target")"
} >"$work/shares"

# Side by side: each takes one of this machine's processors.
for name in "${names[@]}"; do
  boot "$name" & guests[$name]=$!
done
status=0
for name in "${names[@]}"; do
  code=0
  wait "${guests[$name]}" || code=$?
  unset "guests[$name]"
  say "$name: Linux $(<"$(kernel_of "$name")/release"), cgroup v2 alone"
  cat "$work/$name.out"
  if ! grep -q '^guest: done .*, 0 failed' "$work/$name.out"; then
    status=1
    [ $code != 124 ] || echo "guest: not done within $limit s"
    grep -q '^guest: done' "$work/$name.out" || { echo "last of the console:"; tail -n 60 "$work/$name.console"; }
  fi
done
exit $status
