#!/usr/bin/env bash
# Start SimpleSAMLphp as a SAML 2.0 IdP with PHP's built-in server, on loopback.
#   start.sh SCRATCH_DIR
# Environment: PORT [18101], HOST [localhost], and the SSP_* toggles described in
# metadata/saml20-idp-hosted.php. SP metadata: copy *.xml into SCRATCH/sp-metadata/.
# Prints the pid. Ready when SCRATCH/idp-metadata.xml exists.
set -euo pipefail
scratch=${1:?scratch directory}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$scratch"; scratch=$(cd "$scratch" && pwd)
HOST=${HOST:-localhost} PORT=${PORT:-18101}
if (: <"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then echo "port $PORT is taken" >&2; exit 1; fi
mkdir -p "$scratch"/{cert,log,data,tmp,sp-metadata,www}
if [ ! -f "$scratch/cert/idp.key" ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=ssp-idp-test" \
    -keyout "$scratch/cert/idp.key" -out "$scratch/cert/idp.crt" 2>/dev/null
fi
ln -sfn /usr/share/simplesamlphp/www "$scratch/www/simplesamlphp"
export SSP_SCRATCH=$scratch SSP_BASE="http://$HOST:$PORT/simplesamlphp/" SIMPLESAMLPHP_CONFIG_DIR=$here
export PHP_CLI_SERVER_WORKERS=${WORKERS:-4}
setsid php -d error_reporting='E_ALL & ~E_DEPRECATED' -d display_errors=0 -d opcache.enable_cli=1 \
  -d session.save_path="$scratch/tmp" -S "127.0.0.1:$PORT" -t "$scratch/www" \
  >"$scratch/log/php.log" 2>&1 </dev/null &
pid=$!
echo "$pid" >"$scratch/pid"
for _ in $(seq 1200); do
  if curl -fsS -o "$scratch/idp-metadata.xml.tmp" "${SSP_BASE}saml2/idp/metadata.php" 2>/dev/null \
     && grep -q EntityDescriptor "$scratch/idp-metadata.xml.tmp"; then
    mv "$scratch/idp-metadata.xml.tmp" "$scratch/idp-metadata.xml"; echo "$pid"; exit 0
  fi
  kill -0 "$pid" 2>/dev/null || { rm -f "$scratch/pid"; tail -5 "$scratch/log/php.log" >&2; exit 1; }
  sleep 0.1
done
echo "not ready; see $scratch/log" >&2; kill -- "-$pid" 2>/dev/null || true; rm -f "$scratch/pid"; exit 1
