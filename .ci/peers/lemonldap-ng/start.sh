#!/usr/bin/env bash
# Start LemonLDAP::NG's portal (SAML IdP, OpenID provider, TOTP) under plackup, on loopback.
#   start.sh SCRATCH_DIR
# Environment: PORT [18104], HOST [localhost], and the toggles in ../README.md.
# SP metadata: SCRATCH/sp-metadata/*.xml, read at start only.
# Prints the pid. Ready when SCRATCH/idp-metadata.xml exists.
set -euo pipefail
scratch=${1:?scratch directory}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$scratch"; scratch=$(cd "$scratch" && pwd)
HOST=${HOST:-localhost} PORT=${PORT:-18104}
if (: <"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then echo "port $PORT is taken" >&2; exit 1; fi
rm -rf "$scratch"/{cache,sessions,psessions,idp-metadata.xml} # a restart forgets sessions and second factors
mkdir -p "$scratch"/{keys,conf,sessions/lock,psessions/lock,cache,sp-metadata}
if [ ! -f "$scratch/keys/oidc.pub" ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=llng-idp-test" \
    -keyout "$scratch/keys/saml.key" -out "$scratch/keys/saml.crt" 2>/dev/null
  openssl genrsa -out "$scratch/keys/oidc.key" 2048 2>/dev/null
  openssl rsa -in "$scratch/keys/oidc.key" -pubout -out "$scratch/keys/oidc.pub" 2>/dev/null
fi
python3 "$here/configure.py" "$scratch" "http://$HOST:$PORT"
export LLNG_DEFAULTCONFFILE=$scratch/lemonldap-ng.ini
setsid plackup -E deployment -s HTTP::Server::PSGI --host 127.0.0.1 --port "$PORT" "$here/app.psgi" \
  >"$scratch/llng.log" 2>&1 </dev/null &
pid=$!
echo "$pid" >"$scratch/pid"
for _ in $(seq 1200); do
  if curl -fsS -m 5 -o "$scratch/idp-metadata.xml.tmp" "http://$HOST:$PORT/saml/metadata" 2>/dev/null \
     && grep -q EntityDescriptor "$scratch/idp-metadata.xml.tmp"; then
    mv "$scratch/idp-metadata.xml.tmp" "$scratch/idp-metadata.xml"; echo "$pid"; exit 0
  fi
  # Without one of its modules it serves errors for ever, and names the module once.
  if grep 'load error' "$scratch/llng.log" >&2; then break; fi
  kill -0 "$pid" 2>/dev/null || { rm -f "$scratch/pid"; tail -5 "$scratch/llng.log" >&2; exit 1; }
  sleep 0.1
done
echo "not ready; see $scratch/llng.log" >&2; kill -- "-$pid" 2>/dev/null || true; rm -f "$scratch/pid"; exit 1
