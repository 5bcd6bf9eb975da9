#!/usr/bin/env bash
# What the ignored tests need beyond the Rust toolchain: python3, curl, and the proxies of tests/proxies. May be run any number
# of times. No service is started.
set -euo pipefail

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi

missing=()
for pair in python3:python3 curl:curl nginx:nginx-light haproxy:haproxy caddy:caddy apache2:apache2; do
  # A user's PATH may lack the folder where servers are.
  if ! PATH="$PATH:/usr/sbin" command -v "${pair%%:*}" >/dev/null; then
    missing+=("${pair##*:}")
  fi
done

if [ ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]; then
  missing+=(libnginx-mod-stream)
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

for program in python3 curl nginx haproxy caddy apache2; do
  echo "$program: $(PATH="$PATH:/usr/sbin" command -v "$program")"
done
