#!/usr/bin/env bash
# How many assessments a second the whole server answers over connections that stay open: stored, and not stored; each
# question is another, so that nothing is remembered. Needs wrk (Debian's package) and curl.
#
#   benches/load/assess.sh [--connections 32] [--seconds 10] [--rounds 3] [--database postgres://…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

connections=32 seconds=10 rounds=3 database=
while (($# > 0)); do
    case $1 in
        --connections) connections=$2 ;;
        --seconds) seconds=$2 ;;
        --rounds) rounds=$2 ;;
        --database) database=$2 ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 2; }

cargo build --release --bin medilink
data=$(mktemp -d "${TMPDIR:-/var/tmp}/medilink-load.XXXXXX")
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
http=$(port) dicom=$(port)
export TOKEN=load-token-0123456789abcdef MEDILINK_TOKEN=load-token-0123456789abcdef
# One caller asks without a pause: its quota is not what is measured.
export MEDILINK_MACHINE_REQUESTS_PER_SECOND=1000000 MEDILINK_CLINIC_REQUESTS_PER_SECOND=1000000
if [[ -n $database ]]; then export DATABASE_URL=$database; fi
target/release/medilink --data-dir "$data" serve --http-listen "127.0.0.1:$http" --dicom-listen "127.0.0.1:$dicom" \
    >/dev/null 2>"$data/log" &
medilink=$!
trap 'kill "$medilink"; wait; rm -rf "$data"' EXIT
until curl -sf "http://127.0.0.1:$http/ready" >/dev/null; do sleep 0.1; done

measure() {
    NAME=$1 EXPECTED=$3 ROUND=$4 wrk --threads 1 --connections "$connections" --duration "${seconds}s" --latency \
        --script benches/load/assess.lua "http://127.0.0.1:$http$2" | grep '^{'
}
for round in $(seq "$rounds"); do
    measure "not stored" /api/v1/predictions 200 "$round"
    measure "not stored, next question" /api/v1/assessments/next 200 "$round"
    measure "stored" /api/v1/assessments 201 "$round"
done
