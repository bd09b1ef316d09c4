#!/usr/bin/env bash
# How long one permission-checked, audited read of a patient takes at 2,000 requests a second, beside the bare
# framework in the same run. Needs wrk (Debian's package) and curl.
#
#   benches/load/run.sh [--patients 100000] [--rate 2000] [--seconds 20] [--rounds 3]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

patients=100000 rate=2000 seconds=20 rounds=3
while (($# > 0)); do
    case $1 in
        --patients) patients=$2 ;;
        --rate) rate=$2 ;;
        --seconds) seconds=$2 ;;
        --rounds) rounds=$2 ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 2; }

cargo build --release --bin medilink
bare=$(cargo build --release --bench bare --message-format=json | python3 -c '
import json, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("target", {}).get("name") == "bare" and made.get("executable"): print(made["executable"])')
data=$(mktemp -d "${TMPDIR:-/var/tmp}/medilink-load.XXXXXX")
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
http=$(port) dicom=$(port) plain=$(port)
export TOKEN=load-token-0123456789abcdef MEDILINK_TOKEN=load-token-0123456789abcdef
target/release/medilink --data-dir "$data" serve --http-listen "127.0.0.1:$http" --dicom-listen "127.0.0.1:$dicom" \
    >/dev/null 2>"$data/log" &
medilink=$!
"$bare" "127.0.0.1:$plain" & framework=$!
trap 'kill "$medilink" "$framework"; wait; rm -rf "$data"' EXIT
until curl -sf "http://127.0.0.1:$http/ready" >/dev/null; do sleep 0.1; done

echo "writing $patients patients …" >&2
python3 benches/load/fill.py "$http" "$patients" >"$data/ids"
# One machine's key sees what a role would: the administrator's token is checked like any other caller's.
export IDS="$data/ids" RATE=$rate CONNECTIONS=64
measure() { PREFIX=$2 wrk --threads 1 --connections "$CONNECTIONS" --duration "${seconds}s" --latency \
    --script benches/load/read.lua "http://127.0.0.1:$3" | sed -n "s/^{/{\"what\": \"$1\", /p"; }
for _ in $(seq "$rounds"); do
    measure bare /patients/ "$plain"
    measure medilink /api/v1/patients/ "$http"
done
