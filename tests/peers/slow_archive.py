#!/usr/bin/env python3
"""pynetdicom as an archive that is forwarded to, and reports on storage commitment when it is told to.

  slow_archive.py --dicom-port P --ae-title MEDILINK --base-url http://127.0.0.1:H/dicom-web --token T

It says `ready`, then `asked TRANSACTION INSTANCE…` for each question; to a line `report TRANSACTION` it reports over an
association of its own that it keeps all of it, and says `told STATUS`. It ends with its input.
"""

from __future__ import annotations

import sys
import time

sys.dont_write_bytecode = True

import requests
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt

from instances import CT
from reactor import still
from reading import arguments

COMMITMENT = "1.2.840.10008.1.20.1"
# The well-known instance (PS3.4, section J.3.5).
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
CLINIC = "00000000-0000-7000-8000-000000000001"

options = arguments(__doc__)
house = options.base_url.removesuffix("/dicom-web")
asked: dict[str, Dataset] = {}


def say(*words) -> None:
    print(*words, flush=True)


def on_action(event):
    question = event.action_information
    asked[str(question.TransactionUID)] = question
    instances = [str(item.ReferencedSOPInstanceUID) for item in question.ReferencedSOPSequence]
    say("asked", question.TransactionUID, *instances)
    return 0x0000, None


def post(path: str, body: dict) -> dict:
    headers = {"Authorization": f"Bearer {options.token}"}
    answer = requests.post(f"{house}{path}", json=body, headers=headers, timeout=30)
    answer.raise_for_status()
    return answer.json()


def report(transaction: str) -> int:
    told = Dataset()
    told.TransactionUID = transaction
    told.ReferencedSOPSequence = asked[transaction].ReferencedSOPSequence
    ae = AE(ae_title="ARCHIVE")
    ae.add_requested_context(COMMITMENT)
    roles = [build_role(COMMITMENT, scp_role=True)]
    association = ae.associate(options.host, options.dicom_port, ae_title=options.ae_title, ext_neg=roles)
    still(association)
    status, _ = association.send_n_event_report(told, 1, COMMITMENT, COMMITMENT_INSTANCE)
    association.release()
    return status.Status


archive = AE(ae_title="ARCHIVE")
archive.add_supported_context(CT)
archive.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
handlers = [(evt.EVT_C_STORE, lambda event: 0x0000), (evt.EVT_N_ACTION, on_action)]
server = archive.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
port = server.socket.getsockname()[1]
peer = post(f"/api/v1/clinics/{CLINIC}/dicom-peers", {"aeTitle": "ARCHIVE", "host": "127.0.0.1", "port": port})
post(f"/api/v1/clinics/{CLINIC}/forward-rules", {"peerId": peer["id"], "wantsCommitment": True})
# The hall knows a new rule after five seconds at the latest.
time.sleep(5.5)
say("ready")
for line in sys.stdin:
    say("told", f"{report(line.split()[1]):04X}")
server.shutdown()
