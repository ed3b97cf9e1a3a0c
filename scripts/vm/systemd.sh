#!/usr/bin/env bash
# systemd.sh DIR: makes DIR/{root,release} from Debian's packages: a small Debian with systemd, for a guest. Does nothing
# if DIR is there; remove it to get newer packages.
. "$(dirname "$0")/../lib.sh"
dir=$(readlink -m "$1")
made_by=$(cksum <"$0")
[ ! -e "$dir/made-by" ] || [ "$(<"$dir/made-by")" != "$made_by" ] || exit 0
suite=trixie
packages mmdebstrap debian-archive-keyring

say "systemd of Debian $suite"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
excluded=()
for path in doc man locale info; do excluded+=("--dpkgopt=path-exclude=/usr/share/$path/*"); done
for mirror in $(debian_mirrors); do
  rm -rf "$work/root"
  mmdebstrap --quiet --mode=root --variant=essential "${excluded[@]}" \
    --include=systemd,systemd-sysv,dbus,kmod,busybox-static,iproute2,nftables,procps \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg $suite "$work/root" "$mirror" >"$work/log" 2>&1 &&
    found=$mirror && break
  tail -n 5 "$work/log" >&2
done
[ -n "${found:-}" ] || die "Debian $suite cannot be had. DEBIAN_MIRROR=… names another mirror"
mkdir -p "$(dirname "$dir")"
rm -rf "$dir"
mkdir "$dir"
cp -a "$work/root" "$dir/root"
touch "$dir"/root/{etc,var}/.updated # else the first boot does what the packages' scripts have done
echo "$made_by" >"$dir/made-by"
echo "Debian $suite: $("$dir/root/usr/bin/systemctl" --version 2>/dev/null | head -n 1 || echo systemd)"
