#!/usr/bin/env bash
# run.sh TARGET [LIBFUZZER-FLAG…]: builds one target with coverage, by the stable compiler, and runs it on corpus/TARGET.
set -euo pipefail
cd "$(dirname "$0")"
target=$1; shift
tuple=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions"
cargo build --release --target "$tuple" --bin "$target"
mkdir -p "corpus/$target"
exec "${CARGO_TARGET_DIR:-target}/$tuple/release/$target" "corpus/$target" "$@"
