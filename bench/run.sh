#!/usr/bin/env bash
# run.sh [SECTION…]: measures Corten against its peers; see README.md beside this file.
. "$(dirname "$0")/../scripts/lib.sh"
need_root bench/run.sh
packages busybox-static iproute2 python3
exec python3 -B "$top/bench/bench.py" "$@"
