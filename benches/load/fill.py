"""Writes patients over HTTP, a few connections at a time, and prints their identifiers: fill.py PORT COUNT."""

import http.client
import json
import os
import sys
import threading

PORT, COUNT, WRITERS = int(sys.argv[1]), int(sys.argv[2]), 8
HEADERS = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}
lock = threading.Lock()
refused = []


def write(numbers):
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    for number in numbers:
        name = {"family": "Load", "given": f"Patient {number}"}
        patient = {"name": name, "birthDate": "1980-01-01", "sex": "female"}
        connection.request("POST", "/api/v1/patients", json.dumps(patient), HEADERS)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 201:
            refused.append(f"{answer.status}: {body[:300]}")
            return
        with lock:
            print(json.loads(body)["id"])


threads = [threading.Thread(target=write, args=(range(first, COUNT, WRITERS),)) for first in range(WRITERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if refused:
    sys.exit(refused[0])
