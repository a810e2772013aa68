#!/usr/bin/env bash
# Start Keycloak (SAML IdP, OpenID provider) in its development mode, on loopback.
#   start.sh SCRATCH_DIR
# Environment: PORT [18110], KEYCLOAK_VERSION [26.7.3].
# It is https://keycloak.test to itself, without a port as IAM takes an issuer;
# who wants it maps that name to the port and takes SCRATCH/tls.crt as a root.
# The realm is realm.json here. The distribution comes from Maven Central through
# Maven, and stays in the local repository in the home folder.
# Prints the pid. Ready when SCRATCH/address, with HOST:PORT in it, exists.
set -euo pipefail
scratch=${1:?scratch directory}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$scratch"; scratch=$(cd "$scratch" && pwd)
PORT=${PORT:-18110} version=${KEYCLOAK_VERSION:-26.7.3}
if (: <"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then echo "port $PORT is taken" >&2; exit 1; fi

zip=$HOME/.m2/repository/org/keycloak/keycloak-quarkus-dist/$version/keycloak-quarkus-dist-$version.zip
if [ ! -f "$zip" ]; then
  mvn -q -B "-Dmaven.repo.local=$HOME/.m2/repository" dependency:get -Dtransitive=false \
    "-Dartifact=org.keycloak:keycloak-quarkus-dist:$version:zip" >&2
fi
home=$scratch/keycloak-$version
rm -rf "$home" "$scratch/address" # a restart forgets everything
python3 -m zipfile -e "$zip" "$scratch"
chmod +x "$home"/bin/*.sh
mkdir -p "$home/data/import"
cp "$here/realm.json" "$home/data/import/"
if [ ! -f "$scratch/tls.crt" ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=keycloak.test" -addext "subjectAltName=DNS:keycloak.test" \
    -keyout "$scratch/tls.key" -out "$scratch/tls.crt" 2>/dev/null
fi

# It starts once and runs for minutes: the first compiler is all that pays.
export KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=admin \
  JAVA_OPTS_KC_HEAP="-Xms128m -Xmx512m" JAVA_OPTS_APPEND="-XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true"
setsid "$home/bin/kc.sh" start-dev --import-realm --http-host=127.0.0.1 --http-port=0 "--https-port=$PORT" \
  "--https-certificate-file=$scratch/tls.crt" "--https-certificate-key-file=$scratch/tls.key" --hostname=https://keycloak.test \
  >"$scratch/keycloak.log" 2>&1 </dev/null &
pid=$!
echo "$pid" >"$scratch/pid"
for _ in $(seq 1200); do
  if curl -fsS -m 5 -o /dev/null --cacert "$scratch/tls.crt" --connect-to "keycloak.test:443:127.0.0.1:$PORT" \
    https://keycloak.test/realms/corp 2>/dev/null; then
    echo "127.0.0.1:$PORT" >"$scratch/address"; echo "$pid"; exit 0
  fi
  kill -0 "$pid" 2>/dev/null || { rm -f "$scratch/pid"; tail -20 "$scratch/keycloak.log" >&2; exit 1; }
  sleep 0.25
done
echo "not ready; see $scratch/keycloak.log" >&2; kill -- "-$pid" 2>/dev/null || true; rm -f "$scratch/pid"; exit 1
