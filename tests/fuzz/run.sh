#!/usr/bin/env bash
# Fuzzes targets from their corpora and the seeds, and packs the smallest set of inputs that reaches all that was reached.
#
#   tests/fuzz/run.sh [EXECUTIONS] [TARGET...]
#
# EXECUTIONS of each target, 10000 unless said otherwise; all targets unless some are named. Needs no other compiler than
# the project's own. What crashes is left in $OUT/crashes, figures in $OUT/NAME.log; OUT is a folder of the target folder
# unless it is set. SANITIZER=address or thread asks for that sanitizer, with which a nightly compiler is needed.
set -euo pipefail
cd "$(dirname "$0")"
runs="${1:-10000}"
shift || true
target_dir="${CARGO_TARGET_DIR:-../../target}/fuzz${SANITIZER:+-$SANITIZER}"
mkdir -p "$target_dir"
target_dir="$(cd "$target_dir" && pwd)"
out="${OUT:-$target_dir/out}"
mkdir -p "$out/crashes"

# The crates that are shipped, in the versions that are shipped.
cp ../../Cargo.lock Cargo.lock
host="$(rustc -vV | sed -n 's/^host: //p')"
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# Overflows are errors here; with --target a host's flags are no build script's.
RUSTFLAGS="--cfg fuzzing -Cdebug-assertions $coverage ${SANITIZER:+-Zsanitizer=$SANITIZER}" \
  cargo ${SANITIZER:++nightly} build --quiet --release --target "$host" --target-dir "$target_dir"
bin="$target_dir/$host/release"
mkdir -p "$out/seeds"
CLIPER_SEEDS="$out/seeds" "$bin/fuzz"

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  mapfile -t targets < <(sed -n 's/^    ("\([a-z-]*\)",.*/\1/p' targets/mod.rs)
fi
for target in "${targets[@]}"; do
  corpus="$out/corpus/$target"
  mkdir -p "$corpus"
  if [ -f "corpus/$target.zip" ]; then python3 -m zipfile -e "corpus/$target.zip" "$corpus"; fi
  # No value needs more memory than its own file explains: 256 MiB at once or 512 MiB in all are crashes, and so are ten seconds.
  CLIPER_TARGET="$target" "$bin/fuzz" "$corpus" "$out/seeds/$target" -runs="$runs" -seed=20210 -timeout=10 \
    -malloc_limit_mb=256 -rss_limit_mb=512 -max_len=65536 -dict="$out/seeds/words.dict" -artifact_prefix="$out/crashes/$target-" \
    -use_value_profile=1 -print_final_stats=1 > "$out/$target.log" 2>&1 || { tail -40 "$out/$target.log"; exit 1; }
  grep -E 'stat::|cov:' "$out/$target.log" | tail -6
  smallest="$out/smallest/$target"
  rm -rf "$smallest"
  mkdir -p "$smallest" corpus
  CLIPER_TARGET="$target" "$bin/fuzz" -merge=1 -rss_limit_mb=512 "$smallest" "$corpus" "$out/seeds/$target" > "$out/$target-merge.log" 2>&1
  # Of the repository's archive no more than fits: the small seeds, then the smallest set's inputs in the order of their hashes.
  # The same files make the same archive.
  python3 - "$out/seeds/$target" "$smallest" "corpus/$target.zip" << 'END'
import os, sys, zipfile
seeds, smallest, path = sys.argv[1:]
files = [(folder, name) for folder in (seeds, smallest) for name in sorted(os.listdir(folder))]
left = 28_000
with zipfile.ZipFile(path, "w") as archive:
    for folder, name in files:
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        if len(data) <= min(left, 6_000):
            left -= len(data)
            archive.writestr(zipfile.ZipInfo(name), data)
END
done
