#!/usr/bin/env bash
# Start panva/oidc-provider on loopback.   start.sh SCRATCH_DIR
# Environment: PORT [18102], HOST [localhost] and the OIDC_* toggles of server.mjs.
# SCRATCH/users.json and SCRATCH/clients.json, if present, replace the ones here.
# Prints the pid. Ready when discovery answers (it waits for that).
set -euo pipefail
scratch=${1:?scratch directory}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$scratch"; scratch=$(cd "$scratch" && pwd)
export HOST=${HOST:-localhost} PORT=${PORT:-18102} SCRATCH=$scratch HERE=$here
if (: <"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then echo "port $PORT is taken" >&2; exit 1; fi
if [ ! -d "$scratch/node_modules/oidc-provider" ]; then
  cp "$here/package.json" "$here/package-lock.json" "$scratch/"
  npm ci --prefix "$scratch" --no-fund --no-audit --ignore-scripts >"$scratch/npm.log" 2>&1 || { tail -5 "$scratch/npm.log" >&2; exit 1; }
fi
setsid node "$here/server.mjs" >"$scratch/op.log" 2>&1 </dev/null &
pid=$!; echo "$pid" >"$scratch/pid"
for _ in $(seq 1200); do
  curl -fsS -o "$scratch/discovery.json" "http://$HOST:$PORT/.well-known/openid-configuration" 2>/dev/null && { echo "$pid"; exit 0; }
  kill -0 "$pid" 2>/dev/null || { rm -f "$scratch/pid"; tail -20 "$scratch/op.log" >&2; exit 1; }
  sleep 0.1
done
echo "not ready; see $scratch/op.log" >&2; kill -- "-$pid" 2>/dev/null || true; rm -f "$scratch/pid"; exit 1
