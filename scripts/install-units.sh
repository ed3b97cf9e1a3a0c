#!/bin/sh
# Installs the systemd units: install-units.sh DESTDIR BINDIR UNITDIR UNIT...
# With an empty DESTDIR, on a machine that runs systemd, it also makes the group of the socket and says how to go on.
set -eu
destdir=$1 bindir=$2 unitdir=$3
shift 3
cd "$(dirname "$0")/../dist"
for unit; do
  mkdir -p "$destdir$unitdir"
  sed "s|@BINDIR@|$bindir|g" "$unit" >"$destdir$unitdir/$unit"
  chmod 644 "$destdir$unitdir/$unit"
done
echo "installed in $destdir$unitdir: $*"
[ -z "$destdir" ] || exit 0
if ! grep -q '^corten:' /etc/group; then
  groupadd --system corten && echo "made the group corten: its members may use the engine, which makes them root here"
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  echo "start it with: systemctl enable --now corten.socket corten.service"
else
  echo "systemd does not run here: start the engine with 'corten daemon', or let the first command start it"
fi
