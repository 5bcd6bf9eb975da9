#!/usr/bin/env bash
# What the ignored tests need beyond the Rust toolchain. May be run any number of times.
set -euo pipefail

if command -v python3 >/dev/null; then
  echo "python3: $(python3 --version 2>&1)"
  exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -q -y --no-install-recommends python3
echo "python3: $(python3 --version 2>&1)"
