#!/usr/bin/env bash
# Start pgbouncer in transaction mode on loopback.
#   start.sh SCRATCH_DIR POSTGRESQL_SCRATCH_DIR
# Environment: PORT [a free one]. Every database of the PostgreSQL is behind it,
# five connections each. Prints the pid. Ready when SCRATCH/dsn exists.
set -euo pipefail
scratch=${1:?scratch directory}; behind=${2:?scratch directory of postgresql}
mkdir -p "$scratch"; scratch=$(cd "$scratch" && pwd)
bin=$(PATH=$PATH:/usr/sbin command -v pgbouncer) || { echo "no pgbouncer: install it" >&2; exit 1; }
as=()
if [ "$(id -u)" = 0 ]; then # pgbouncer refuses to run as root
  chown postgres "$scratch"
  as=(setpriv --reuid postgres --regid postgres --init-groups --)
fi
port=${PORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "port $port is taken" >&2; exit 1; fi
cat >"$scratch/pgbouncer.ini" <<INI
[databases]
* = host=$behind port=$(cat "$behind/port") user=rolegate
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
max_client_conn = 500
max_db_connections = 5
INI
chmod 644 "$scratch/pgbouncer.ini"
setsid "${as[@]}" "$bin" "$scratch/pgbouncer.ini" >"$scratch/pgbouncer.log" 2>&1 </dev/null &
pid=$!; echo "$pid" >"$scratch/pid"
for _ in $(seq 1200); do
  if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "postgres://rolegate@127.0.0.1:$port/rolegate?sslmode=disable" >"$scratch/dsn"
    echo "$pid"; exit 0
  fi
  kill -0 "$pid" 2>/dev/null || { rm -f "$scratch/pid"; tail -5 "$scratch/pgbouncer.log" >&2; exit 1; }
  sleep 0.1
done
echo "not ready; see $scratch/pgbouncer.log" >&2; kill -- "-$pid" 2>/dev/null || true; rm -f "$scratch/pid"; exit 1
