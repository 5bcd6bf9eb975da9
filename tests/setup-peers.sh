#!/usr/bin/env bash
# What the ignored tests need beyond the Rust toolchain: python3, curl, node, chromium and tshark, the proxies of
# tests/proxies, and the ports, installed as their users would into target/peers. May be run any number of times. No
# service is started.
set -euo pipefail

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi

missing=()
for pair in python3:python3 curl:curl nginx:nginx-light haproxy:haproxy caddy:caddy apache2:apache2 \
  node:nodejs npm:npm chromium:chromium tshark:tshark; do
  # A user's PATH may lack the folder where servers are.
  if ! PATH="$PATH:/usr/sbin" command -v "${pair%%:*}" >/dev/null; then
    missing+=("${pair##*:}")
  fi
done

if [ ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]; then
  missing+=(libnginx-mod-stream)
fi
# Debian keeps what makes virtual environments in a package of its own.
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  missing+=(python3-venv)
fi

if [ "${#missing[@]}" -gt 0 ]; then
  # Debian's packages start their services unless this file says no.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
  fi
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

top=$(cd "$(dirname "$0")/.." && pwd)
peers=$top/target/peers
mkdir -p "$peers"
python3 -m venv "$peers/python"
"$peers/python/bin/pip" install -q --force-reinstall --no-deps "$top/ports/python"
"$peers/python/bin/pip" install -q "$top/ports/python[websocket]"
# As a copy, not a link, so that what is missing from the package is missed here; and anew, because npm keeps a copy of the
# same version. Listening for WebSockets needs ws beside it.
rm -rf "$peers/javascript"
npm install --prefix "$peers/javascript" --no-audit --no-fund --install-links "$top/ports/javascript" ws
# For the port's own tests. Puppeteer drives the chromium that is installed: it must not bring its own.
(cd "$top/ports/javascript" && PUPPETEER_SKIP_DOWNLOAD=1 npm install --no-audit --no-fund)

for program in python3 curl node npm chromium tshark dumpcap nginx haproxy caddy apache2; do
  echo "$program: $(PATH="$PATH:/usr/sbin" command -v "$program")"
done
