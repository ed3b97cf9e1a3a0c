#!/usr/bin/env bash
# Prints the path of a docker client: the one on the PATH, else Debian's, unpacked below the target directory and
# not installed (its package would start a daemon).
. "$(dirname "$0")/lib.sh"
command -v docker && exit 0
dir=$target/docker-client
if [ ! -x "$dir/usr/bin/docker" ]; then
  mkdir -p "$dir" && cd "$dir"
  apt-get update -q >/dev/null
  # Since trixie the client is a package of its own.
  apt-get download -q docker-cli >/dev/null 2>&1 || apt-get download -q docker.io >/dev/null
  dpkg-deb -x ./*.deb . && rm -f ./*.deb
fi
echo "$dir/usr/bin/docker"
