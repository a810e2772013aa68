#!/usr/bin/env bash
# Start an own PostgreSQL cluster on loopback and a Unix socket.
#   start.sh SCRATCH_DIR
# Environment: PORT [a free one], BIN [the newest in /usr/lib/postgresql].
# Prints the pid. Ready when SCRATCH/dsn exists: the URL of a database whose
# owner may create others, over the socket. Over TCP the same role needs the
# password of SCRATCH/password. A second start finds the data of the first.
set -euo pipefail
scratch=${1:?scratch directory}
mkdir -p "$scratch"; scratch=$(cd "$scratch" && pwd)
bin=${BIN:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
[ -x "$bin/postgres" ] || { echo "no PostgreSQL server: install postgresql" >&2; exit 1; }
as=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
  chown postgres "$scratch"
  as=(setpriv --reuid postgres --regid postgres --init-groups --)
  "${as[@]}" test -w "$scratch" || { echo "the user postgres cannot get at $scratch" >&2; exit 1; }
fi
if [ -z "${PORT:-}" ] && [ -f "$scratch/port" ]; then PORT=$(cat "$scratch/port"); fi
port=${PORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "port $port is taken" >&2; exit 1; fi
cd "$scratch"
if [ ! -f "$scratch/data/PG_VERSION" ]; then
  openssl rand -hex 16 >"$scratch/password"
  chmod 644 "$scratch/password" # for tests only, and initdb reads it as another user
  "${as[@]}" "$bin/initdb" -D "$scratch/data" -U rolegate -E UTF8 --locale=C.UTF-8 --auth-local=trust \
    --auth-host=scram-sha-256 --pwfile="$scratch/password" >"$scratch/initdb.log" 2>&1 || { tail -5 "$scratch/initdb.log" >&2; exit 1; }
fi
echo "$port" >"$scratch/port"
rm -f "$scratch/dsn"
setsid "${as[@]}" "$bin/postgres" -D "$scratch/data" -k "$scratch" -p "$port" -c listen_addresses=127.0.0.1 \
  -c max_connections=200 -c shared_buffers=32MB >>"$scratch/postgres.log" 2>&1 </dev/null &
pid=$!; echo "$pid" >"$scratch/pid"
for _ in $(seq 1200); do
  if "$bin/psql" -h "$scratch" -p "$port" -U rolegate -d postgres -Atqc 'select 1' >/dev/null 2>&1; then
    "$bin/psql" -h "$scratch" -p "$port" -U rolegate -d postgres -Atqc "select 1 from pg_database where datname = 'rolegate'" | grep -q 1 \
      || "$bin/createdb" -h "$scratch" -p "$port" -U rolegate rolegate
    echo "postgres://rolegate@/rolegate?host=$scratch&port=$port" >"$scratch/dsn"
    echo "$pid"; exit 0
  fi
  kill -0 "$pid" 2>/dev/null || { rm -f "$scratch/pid"; tail -5 "$scratch/postgres.log" >&2; exit 1; }
  sleep 0.1
done
echo "not ready; see $scratch/postgres.log" >&2; kill -- "-$pid" 2>/dev/null || true; rm -f "$scratch/pid"; exit 1
