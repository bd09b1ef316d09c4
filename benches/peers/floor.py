#!/usr/bin/env python3
"""What the machine itself gives, to hold a server's figures against: nothing is parsed, hashed or recorded here.

  floor.py disk  --data DIR --dir DIR --threads 4   each CT written, fsynced, renamed, its folder fsynced
  floor.py files --data DIR --dir DIR               one file as long as all CT together, from nginx
Both append a JSON line to --json, as bench.py does."""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

PIECE = 1 << 20
NGINX = """daemon off; master_process off; pid {dir}/pid; error_log {dir}/errors;
events {{}}
http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  server {{ listen 127.0.0.1:{port}; root {dir}; }} }}
"""


def instances(data):
    rows = json.loads((data / "manifest.json").read_text())["sets"]["ct"]
    return [data / row["path"] for row in rows]


def sync(path):
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def disk(options, folder):
    bodies = [path.read_bytes() for path in instances(options.data)]
    left = iter(enumerate(bodies))
    lock = threading.Lock()

    def write():
        while True:
            with lock:
                number, body = next(left, (None, None))
            if number is None:
                return
            shelf = folder / str(number % 64)
            shelf.mkdir(exist_ok=True)
            with open(shelf / f"{number}.part", "wb", buffering=0) as file:
                file.write(body)
                os.fsync(file.fileno())
            os.rename(shelf / f"{number}.part", shelf / str(number))
            sync(shelf)

    threads = [threading.Thread(target=write) for _ in range(options.threads)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    return {"parallel": options.threads, "n": len(bodies), "wall_s": seconds, "inst_per_s": len(bodies) / seconds}


def files(options, folder):
    with open(folder / "study", "wb") as study:
        for path in instances(options.data):
            study.write(path.read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(NGINX.format(dir=folder, port=port))
    # Root's nginx would read as nobody, who may not enter the folder.
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    server = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf"), *user])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        taken = []
        for _ in range(options.n):
            client = http.client.HTTPConnection("127.0.0.1", port)
            begin = time.perf_counter()
            client.request("GET", "/study")
            answer = client.getresponse()
            size = len(answer.read())
            taken.append(time.perf_counter() - begin)
            assert answer.status == 200 and size == (folder / "study").stat().st_size
    finally:
        server.terminate()
        server.wait()
    middle = 1000 * statistics.median(taken)
    return {"name": "whole study from nginx", "n": options.n, "bytes": size, "median_ms": round(middle, 2),
            "first_ms": round(1000 * taken[0], 2), "mb_per_s": round(size / 1000 / middle, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["disk", "files"])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(dir=options.dir))
    try:
        result = {"label": "machine", "cmd": options.what, **globals()[options.what](options, folder)}
    finally:
        shutil.rmtree(folder)
    print(json.dumps(result), flush=True)
    if options.json:
        with open(options.json, "a") as out:
            out.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
