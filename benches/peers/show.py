#!/usr/bin/env python3
"""show.py results.jsonl: medians per (label, cmd, set, assoc/per_request/parallel or query name), then medilink : orthanc."""

import collections
import json
import statistics as st
import sys

KEYS = ("set", "assoc", "client_nodelay", "per_request", "parallel")
groups = collections.defaultdict(list)
for line in open(sys.argv[1]):
    run = json.loads(line)
    what = run.get("name") or " ".join(f"{key}={run[key]}" for key in KEYS if key in run)
    groups[run["label"], run["cmd"], what].append(run)


def median(runs, field, digits=2):
    return round(st.median(run[field] for run in runs), digits) if field in runs[0] else ""


def per_instance_ms(runs, field):
    return round(1000 * st.median(run[field] / run["n"] for run in runs), 2)


for (label, cmd, what), runs in groups.items():
    if label == "machine":
        fields = [field for field in ("inst_per_s", "median_ms", "first_ms", "mb_per_s") if field in runs[0]]
        text = " ".join(f"{field}={median(runs, field)}" for field in fields)
    elif "inst_per_s" in runs[0]:
        rates = [run["inst_per_s"] for run in runs]
        text = (
            f"runs={len(runs)} n={runs[0]['n']} inst/s={median(runs, 'inst_per_s')} [{min(rates)}..{max(rates)}]"
            f" MB/s={median(runs, 'mb_per_s')} srvCPU ms/inst={per_instance_ms(runs, 'server_cpu_s')}"
            f" cliCPU ms/inst={per_instance_ms(runs, 'client_cpu_s')} wall={median(runs, 'wall_s')}"
            f" disk={median(runs, 'disk_busy_frac')} foreign={median(runs, 'foreign_cores')}"
            f" rss={median(runs, 'rss_mb')} peak={median(runs, 'rss_peak_mb')}"
        )
        if "req_median_ms" in runs[0]:
            acknowledged = min(run["acknowledged"] for run in runs)
            text += f" reqMed={median(runs, 'req_median_ms')}ms ack={acknowledged}"
    elif "median_ms" in runs[0]:
        text = (
            f"st={runs[0]['status']} first={median(runs, 'first_ms')} median={median(runs, 'median_ms')}"
            f" p95={median(runs, 'p95_ms')} ms bytes={runs[0]['bytes']} results={runs[0]['results']}"
            f" srvCPU={median(runs, 'server_cpu_ms_per_req')}ms MB/s={median(runs, 'mb_per_s')}"
            f" rss={median(runs, 'rss_mb')} foreign={median(runs, 'foreign_cores')}"
        )
    else:
        text = str(runs[0])
    print(label, cmd, what, text)

for (label, cmd, what), ours in groups.items():
    theirs = groups.get(("orthanc", cmd, what))
    if label != "medilink" or not theirs:
        continue
    if "inst_per_s" in ours[0]:
        rate = median(ours, "inst_per_s", 4) / median(theirs, "inst_per_s", 4)
        cpu = per_instance_ms(ours, "server_cpu_s") / (
            per_instance_ms(theirs, "server_cpu_s") or float("nan")
        )
        print(f"medilink : orthanc  {cmd} {what}  rate {rate:.2f} x, server CPU {cpu:.2f} x")
    elif "median_ms" in ours[0]:
        speed = median(theirs, "median_ms", 4) / (median(ours, "median_ms", 4) or float("nan"))
        print(f"medilink : orthanc  {cmd} {what}  {speed:.2f} x as fast")
