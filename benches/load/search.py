#!/usr/bin/env python3
"""QIDO-RS over HTTP among 10,000 and among 1,000,000 instances: is a search slower where there are more?

  search.py --medilink target/release/medilink --file CT.dcm [--counts 10000 1000000] [--rounds 40]

One CT is stored, then its rows are copied inside the SQLite file while nobody serves: studies of 200 instances in two
series, each of another patient, the first one of 1,000. A JSON line a search and number of instances: milliseconds."""

import argparse
import http.client
import json
import os
import pathlib
import sqlite3
import statistics
import subprocess
import tempfile
import time

PORT, DICOM = 18162, 14362
OF_STUDY, OF_FIRST = 200, 1000
TOKEN = "bench-token-0123456789abcdef"


class Service:
    def __init__(self, program, folder):
        line = [program, "serve", "--no-worker", "--any-ae", "--data-dir", folder / "data"]
        line += ["--http-listen", f"127.0.0.1:{PORT}", "--dicom-listen", f"127.0.0.1:{DICOM}"]
        self.log = open(folder / "log", "a")
        environment = {**os.environ, "MEDILINK_TOKEN": TOKEN}
        self.process = subprocess.Popen(line, stdout=self.log, stderr=self.log, env=environment)

    def __enter__(self):
        for _ in range(600):
            try:
                if self.get("/ready")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("the service did not get ready")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def connect(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)

    def get(self, path, body=None):
        if not hasattr(self, "connection"):
            self.connect()
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/dicom+json"}
        try:
            if body is None:
                self.connection.request("GET", path, headers=headers)
            else:
                headers["Content-Type"] = "application/dicom"
                self.connection.request("POST", path, body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            del self.connection
            raise


def copy(file, first, last):
    """Writes the studies of these numbers as copies of the one that was stored."""
    rows = sqlite3.connect(file)

    def columns(table):
        return [row[1] for row in rows.execute(f"PRAGMA table_info({table})")]

    def insert(table, changes):
        """One row more in `table`, like its first one but for `changes`."""
        names = columns(table)
        told = ", ".join(f":{name}" if name in changes else name for name in names)
        source = f"SELECT * FROM {table} ORDER BY rowid LIMIT 1"
        return f"INSERT INTO {table} ({', '.join(names)}) SELECT {told} FROM ({source})"

    texts = {
        "patients": ("patient_id", "patient_key", "mrn", "name", "name_key", "family_key"),
        "studies": ("study_id", "patient_id", "study_uid", "accession_number"),
        "series": ("series_id", "study_id", "series_uid", "series_number"),
        "instances": ("instance_id", "study_id", "series_id", "sop_uid", "instance_number", "blob_key"),
    }
    texts = {table: insert(table, names) for table, names in texts.items()}
    with rows:
        for number in range(first, last):
            patient, study, uid = os.urandom(16), os.urandom(16), f"2.25.7{number:09}"
            name = f"Load{number:06}"
            key = name.lower()
            rows.execute(texts["patients"], {"patient_id": patient, "patient_key": key, "mrn": f"M{number}", "name": name,
                                             "name_key": key, "family_key": key})
            rows.execute(texts["studies"], {"study_id": study, "patient_id": patient, "study_uid": uid,
                                            "accession_number": f"A{number}"})
            count = OF_FIRST if number == 0 else OF_STUDY
            for part in (1, 2):
                series = os.urandom(16)
                rows.execute(texts["series"], {"series_id": series, "study_id": study, "series_uid": f"{uid}.{part}",
                                               "series_number": part})
                rows.executemany(texts["instances"], (
                    {"instance_id": os.urandom(16), "study_id": study, "series_id": series,
                     "sop_uid": f"{uid}.{part}.{at}", "instance_number": at, "blob_key": f"{uid}/{part}/{at}"}
                    for at in range(1, count // 2 + 1)))
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rows.close()


def searches(studies):
    some = [(number * 7919) % studies for number in range(1, 1000)]
    yield "study by UID", lambda at: f"/studies?StudyInstanceUID=2.25.7{some[at]:09}"
    yield "patient's studies", lambda at: f"/studies?PatientID=M{some[at]}"
    yield "accession number", lambda at: f"/studies?AccessionNumber=A{some[at]}"
    yield "name wildcard", lambda at: f"/studies?PatientName=Load{some[at] // 10:05}*"
    yield "newest 25", lambda at: "/studies?limit=25"
    yield "instance by UID", lambda at: f"/instances?SOPInstanceUID=2.25.7{some[at]:09}.1.5"
    yield "instances of a series (100)", lambda at: f"/studies/2.25.7{some[at]:09}/series/2.25.7{some[at]:09}.1/instances"
    yield "instances of a study (1000)", lambda at: "/studies/2.25.7000000000/instances?limit=1000"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medilink", required=True)
    parser.add_argument("--file", type=pathlib.Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        folder = pathlib.Path(folder)
        with Service(options.medilink, folder) as service:
            status, answer = service.get("/dicom-web/studies", options.file.read_bytes())
            assert status == 200, answer[:300]
        studies = 0
        for count in options.counts:
            wanted = 1 + max(0, count - OF_FIRST) // OF_STUDY
            copy(folder / "data" / "medilink.sqlite", studies, wanted)
            studies = wanted
            with Service(options.medilink, folder) as service:
                for name, path in searches(studies):
                    taken, found = [], 0
                    for at in range(options.rounds):
                        begin = time.perf_counter()
                        status, answer = service.get("/dicom-web" + path(at))
                        taken.append(1000 * (time.perf_counter() - begin))
                        assert status == 200, (name, status, answer[:300])
                        found = len(json.loads(answer))
                    assert found > 0, f"{name} finds nothing"
                    taken.sort()
                    print(json.dumps({"instances": count, "search": name, "found": found,
                                      "median_ms": round(statistics.median(taken), 2),
                                      "p95_ms": round(taken[int(len(taken) * 0.95)], 2)}), flush=True)


if __name__ == "__main__":
    main()
