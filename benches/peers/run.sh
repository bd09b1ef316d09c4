#!/usr/bin/env bash
# Medilink beside Orthanc on loopback: the same work in turn, A B A B …, each from empty storage.
#
#   run.sh --sid CHROOT [--medilink PATH] [--data DIR] [--rounds 5] [--out results.jsonl]
#          [--work "store1 store4 stow1 stow10 stow10x4"] [--wait-quiet CORES] [--keep-nagle]
#
# Work: store1 store4 (C-STORE of CT over 1 or 4 associations), stow1 stow10 (instances a request), stow10x4
# (four connections), sweep (CT and CR over 4 associations, then QIDO and WADO: memory), scale (10,000 small
# instances, then QIDO), verify (CT, then each frame read back and compared), floor (what the disk takes with fsync and what
# a plain file server gives, without any server of DICOM; needs nginx).
# It ends with the medians (show.py); OUT keeps every run, OUT.machine what they ran on.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"

medilink="$root/target/release/medilink" sid='' data='' rounds=5 out=results.jsonl quiet='' nagle=()
works=(store1 store4 stow1 stow10 stow10x4)
while (($# > 0)); do
    case $1 in
        --medilink) medilink=$2 ;;
        --sid) sid=$2 ;;
        --data) data=$2 ;;
        --rounds) rounds=$2 ;;
        --out) out=$2 ;;
        --work) read -ra works <<<"$2" ;;
        --wait-quiet) quiet=$2 ;;
        --keep-nagle) nagle=(--nagle); shift; continue ;;
        *) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
    shift 2 || { echo "$1 needs a value" >&2; exit 2; }
done

python="$root/.test-tools/venv/bin/python"
[[ -x $python ]] || { echo "run ./test --install-only first" >&2; exit 2; }
[[ -x $medilink ]] || { echo "no $medilink: cargo build --release" >&2; exit 2; }
[[ -x $sid/usr/sbin/Orthanc || -x $sid/usr/bin/Orthanc ]] || { echo "--sid names no chroot with Orthanc (README.md)" >&2; exit 2; }
((EUID == 0)) || { echo "chroot needs root" >&2; exit 2; }
sid="$(cd "$sid" && pwd)"

# Both stores lie on one disk: the chroot's.
# Each start gets folders of its own, removed at the end: ext4 is slow to reuse what was deleted minutes ago.
runs="$sid/runs.$$" starts=0
http=18142 dicom=14342
export MEDILINK_TOKEN=bench-token-0123456789abcdef
pid=''

start_orthanc() {
    orthanc_dir="$runs/$((starts += 1))"
    mkdir -p "$orthanc_dir"
    pid=$("$python" "$here/orthanc.py" start --dir "$orthanc_dir" --chroot "$sid" "${nagle[@]}")
    target=(--dicom-port 14242 --called-ae ORTHANC --base-url http://127.0.0.1:18042/dicom-web)
}

start_medilink() {
    medilink_dir="$runs/$((starts += 1))"
    mkdir -p "$medilink_dir"
    "$medilink" serve --data-dir "$medilink_dir/data" --http-listen "127.0.0.1:$http" \
        --dicom-listen "127.0.0.1:$dicom" --ae-title MEDILINK --any-ae >"$medilink_dir/log" 2>&1 &
    pid=$!
    target=(--dicom-port "$dicom" --called-ae MEDILINK --base-url "http://127.0.0.1:$http/dicom-web"
        --header "Authorization: Bearer $MEDILINK_TOKEN")
    local try
    for try in $(seq 300); do
        kill -0 "$pid" 2>/dev/null || break
        "$python" - "http://127.0.0.1:$http/ready" <<'PY' && return 0
import sys, urllib.request
try:
    sys.exit(urllib.request.urlopen(sys.argv[1], timeout=2).status != 200)
except OSError:
    sys.exit(1)
PY
        sleep 0.1
    done
    tail -n 20 "$medilink_dir/log" >&2
    echo "medilink did not get ready" >&2
    exit 1
}

# Ends the server that runs, and waits until it is gone.
stop() {
    [[ -n $pid ]] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    local state
    for _ in $(seq 600); do
        state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null || true)
        [[ -n $state && $state != Z ]] || break
        sleep 0.1
    done
    pid=''
}
trap 'stop; rm -rf "$runs"' EXIT
trap 'exit 130' INT TERM

bench() {
    "$python" "$here/bench.py" "$@" --data "$data" --host 127.0.0.1 "${target[@]}" --pid "$pid" --label "$side" \
        --json "$out" "${nagle[@]}" ${quiet:+--wait-quiet "$quiet"}
}

run_work() {
    case $1 in
        store1) bench store --set ct --assoc 1 ;;
        store4) bench store --set ct --assoc 4 ;;
        stow1) bench stow --set ct --per-request 1 ;;
        stow10) bench stow --set ct --per-request 10 ;;
        stow10x4) bench stow --set ct --per-request 10 --parallel 4 ;;
        sweep)
            bench store --set ct --assoc 4
            bench store --set cr --assoc 4
            bench qido
            bench wado
            ;;
        scale)
            bench store --set ct --assoc 4
            bench store --set scale --assoc 4
            bench qido
            ;;
        verify)
            bench store --set ct --assoc 4
            bench check --set ct
            ;;
        *) echo "unknown work $1" >&2; exit 2 ;;
    esac
}

if [[ -z $data ]]; then
    data="$root/target/peers/s1"
    [[ -f $data/manifest.json ]] ||
        "$python" "$here/gen.py" --out "$data" --seed 1 --scale-studies 5000 --scale-instances 2
fi

: >"$out"
{
    date --utc --iso-8601=seconds
    uname -sr
    sed -n 's/^model name\s*: //p' /proc/cpuinfo | sort | uniq -c
    echo "load before: $(cut -d' ' -f1-3 /proc/loadavg)"
    "$python" - "$sid" <<'PY'
import os, statistics, sys, tempfile, time
with tempfile.TemporaryFile(dir=sys.argv[1]) as file:
    waits = []
    for _ in range(200):
        file.write(b"x" * 4096)
        file.flush()
        begin = time.perf_counter()
        os.fsync(file.fileno())
        waits.append(1000 * (time.perf_counter() - begin))
print(f"fsync of 4 KiB: median {statistics.median(waits):.2f} ms, largest {max(waits):.2f} ms")
PY
} | tee "$out.machine"

floor() {
    mkdir -p "$runs"
    for threads in 1 4; do
        "$python" "$here/floor.py" disk --data "$data" --dir "$runs" --threads "$threads" --json "$out"
    done
    "$python" "$here/floor.py" files --data "$data" --dir "$runs" --json "$out"
}

for ((round = 1; round <= rounds; round++)); do
    for work in "${works[@]}"; do
        [[ $work != floor ]] || { floor; continue; }
        for side in orthanc medilink; do
            "start_$side"
            run_work "$work"
            stop
        done
    done
done
echo "load after: $(cut -d' ' -f1-3 /proc/loadavg)" | tee -a "$out.machine"

"$python" "$here/show.py" "$out"
