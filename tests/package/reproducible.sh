#!/usr/bin/env bash
# Builds wasm files twice, in copies of the repository in folders of other names, with other cargo homes and target folders,
# and compares what comes out to the byte: tests/package/reproducible.sh [NAME...], `cpu` unless names are given.
set -euo pipefail
cd "$(dirname "$0")/../.."
names=("${@:-cpu}")
cargo build --quiet --release --package cliper-build
tool="$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/cliper-build"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
for copy in one another/folder; do
  mkdir -p "$folder/$copy/cargo"
  git archive HEAD | tar -x -C "$folder/$copy"
  # What was installed and fetched is an input.
  cp -a www/node_modules "$folder/$copy/www/node_modules"
  cp -a "${CARGO_HOME:-$HOME/.cargo}/registry" "$folder/$copy/cargo/registry"
  for name in "${names[@]}"; do
    (cd "$folder/$copy" && CARGO_HOME="$folder/$copy/cargo" CARGO_TARGET_DIR="$folder/$copy/output" "$tool" build --wasm "$name")
  done
done
cd "$folder"
for copy in one another/folder; do
  (cd "$copy/www/dist/src/wasm" && find . -type f | sort | xargs sha256sum) > "$(basename "$copy").txt"
done
cat one.txt
diff one.txt folder.txt && echo "the same to the byte"
