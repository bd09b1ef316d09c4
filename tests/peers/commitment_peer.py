#!/usr/bin/env python3
"""pynetdicom beside a running server: storage commitment both ways, forwarding by rule, user identity.

  commitment_peer.py --dicom-port P --ae-title MEDILINK --base-url http://127.0.0.1:H/dicom-web --token T

The server runs with --any-ae. It ends with 0, or says what failed.
"""

from __future__ import annotations

import queue
import sys
import threading
from contextlib import contextmanager

sys.dont_write_bytecode = True

import requests
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from instances import CT, MR, Instance, check, image, new_uid, same
from reactor import still
from reading import arguments

COMMITMENT = "1.2.840.10008.1.20.1"
# The well-known instance (PS3.4, section J.3.5).
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
# Failure reasons (PS3.3, section C.14.1.1).
NO_SUCH_INSTANCE, CLASS_CONFLICT = 0x0112, 0x0119
CLINIC = "00000000-0000-7000-8000-000000000001"
WAIT = 45

options = arguments(__doc__)
house = options.base_url.removesuffix("/dicom-web")


def http(method: str, path: str, body=None, expect: int = 201) -> dict:
    answer = requests.request(
        method, f"{house}{path}", json=body, headers={"Authorization": f"Bearer {options.token}"}, timeout=30
    )
    same(answer.status_code, expect, f"{method} {path}: {answer.text}")
    return answer.json() if answer.content else {}


def caller(calling: str) -> AE:
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
    for sop_class in (CT, MR):
        ae.add_requested_context(sop_class, [ExplicitVRLittleEndian])
    ae.add_requested_context(COMMITMENT, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    return ae


def associate(ae: AE, **more):
    association = ae.associate(options.host, options.dicom_port, ae_title=options.ae_title, **more)
    check(association.is_established, "the association was not accepted")
    return association


def store(association, *instances: Instance) -> None:
    for instance in instances:
        still(association)
        status = association.send_c_store(instance.dataset)
        same(status.Status, 0x0000, "the status of a C-STORE")


def request_for(*references: tuple[str, str]) -> Dataset:
    request = Dataset()
    request.TransactionUID = new_uid()
    request.ReferencedSOPSequence = []
    for sop_class, uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        request.ReferencedSOPSequence.append(item)
    return request


def act(association, request: Dataset, action: int, instance: str) -> int:
    still(association)
    status, _ = association.send_n_action(request, action, COMMITMENT, instance)
    return status.Status


def ask(association, request: Dataset) -> int:
    return act(association, request, 1, COMMITMENT_INSTANCE)


def told(report: Dataset) -> tuple[set, set]:
    """What a report says: the instances that are kept, and those that are not, with the reason."""
    kept = {str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence", [])}
    failed = report.get("FailedSOPSequence", [])
    return kept, {(str(item.ReferencedSOPInstanceUID), item.FailureReason) for item in failed}


class Listener:
    """An archive: it stores, is asked for storage commitment, and hears reports."""

    def __init__(self, title: str):
        self.title = title
        self.stored, self.asked, self.reports = queue.Queue(), queue.Queue(), queue.Queue()
        self.ae = AE(ae_title=title)
        for sop_class in (CT, MR):
            self.ae.add_supported_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        # Both roles: SCP for whoever asks, SCU for whoever reports.
        self.ae.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)

    def __enter__(self) -> Listener:
        handlers = [
            (evt.EVT_C_STORE, self.on_store),
            (evt.EVT_N_ACTION, self.on_action),
            (evt.EVT_N_EVENT_REPORT, self.on_report),
        ]
        self.server = self.ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = self.server.socket.getsockname()[1]
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()

    def on_store(self, event) -> int:
        self.stored.put((str(event.assoc.requestor.ae_title), event.request.AffectedSOPInstanceUID,
                         event.request.DataSet.getvalue()))
        return 0x0000

    def on_action(self, event):
        self.asked.put(event.action_information)
        return 0x0000, None

    def on_report(self, event):
        self.reports.put((event.event_type, event.event_information))
        return 0x0000, None


def report_here() -> None:
    """A peer that waits is told on its own association, and honestly."""
    reports: queue.Queue = queue.Queue()

    def on_report(event):
        reports.put((event.event_type, event.event_information))
        return 0x0000, None

    held, other = image(CT), image(CT, number=2)
    association = associate(caller("WAITS"), evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)])
    store(association, held, other)
    missing = str(new_uid())
    request = request_for((CT, held.uid), (MR, other.uid), (CT, missing))
    same(ask(association, request), 0x0000, "the status of the N-ACTION")
    event_type, report = reports.get(timeout=WAIT)
    same(event_type, 2, "the event type where something is not kept")
    same(report.TransactionUID, request.TransactionUID, "the transaction")
    expected = ({held.uid}, {(other.uid, CLASS_CONFLICT), (missing, NO_SUCH_INSTANCE)})
    same(told(report), expected, "what is kept")

    request = request_for((CT, held.uid), (CT, other.uid))
    same(ask(association, request), 0x0000, "the status of the second N-ACTION")
    event_type, report = reports.get(timeout=WAIT)
    same((event_type, told(report)), (1, ({held.uid, other.uid}, set())), "all are kept")
    store(association, image(CT, number=3))

    same(ask(association, request_for()), 0x0115, "nothing is asked for")
    same(act(association, request, 7, COMMITMENT_INSTANCE), 0x0123, "an action that nobody knows")
    same(act(association, request, 1, "1.2.3"), 0x0112, "another instance than the well-known one")
    association.release()
    check(reports.empty(), "a report too many")


def report_elsewhere() -> None:
    """A peer that has left is called, where the clinic has named it."""
    with Listener("LEAVES") as archive:
        http("POST", f"/api/v1/clinics/{CLINIC}/dicom-peers",
             {"aeTitle": "LEAVES", "host": "127.0.0.1", "port": archive.port})
        held = image(CT)
        association = associate(caller("LEAVES"))
        store(association, held)
        missing = str(new_uid())
        request = request_for((CT, held.uid), (CT, missing))
        same(ask(association, request), 0x0000, "the status of the N-ACTION")
        association.release()
        event_type, report = archive.reports.get(timeout=WAIT)
        same(event_type, 2, "the event type")
        same(told(report), ({held.uid}, {(missing, NO_SUCH_INSTANCE)}), "what is kept")


def forward() -> None:
    """What a rule names is sent on, once, and its destination asked to vouch for it; the destination reports."""
    with Listener("ARCHIVE") as archive:
        peer = http("POST", f"/api/v1/clinics/{CLINIC}/dicom-peers",
                    {"aeTitle": "ARCHIVE", "host": "127.0.0.1", "port": archive.port})
        http("POST", f"/api/v1/clinics/{CLINIC}/forward-rules",
             {"peerId": peer["id"], "modality": "CT", "callingAe": "SCANNER", "wantsCommitment": True})
        # The hall knows a new rule after five seconds at the latest.
        threading.Event().wait(5.5)
        study = new_uid()
        ours = [image(CT, number=number, StudyInstanceUID=study) for number in (1, 2, 3)]
        others = image(MR, modality="MR")
        association = associate(caller("SCANNER"))
        store(association, *ours, others)
        association.release()
        association = associate(caller("STRANGER"))
        store(association, image(CT, number=9))
        association.release()

        arrived = [archive.stored.get(timeout=WAIT) for _ in ours]
        same({calling for calling, _, _ in arrived}, {options.ae_title}, "whom the archive sees")
        same({str(uid): data for _, uid, data in arrived}, {it.uid: it.data_set for it in ours}, "the data sets")
        asked = archive.asked.get(timeout=WAIT)
        references = {str(item.ReferencedSOPInstanceUID) for item in asked.ReferencedSOPSequence}
        same(references, {it.uid for it in ours}, "what the archive is asked to vouch for")
        check(archive.stored.empty(), "something was sent that no rule names, or twice")

        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        report.ReferencedSOPSequence = asked.ReferencedSOPSequence[:2]
        failed = asked.ReferencedSOPSequence[2]
        failed.FailureReason = 0x0110
        report.FailedSOPSequence = [failed]
        same(tell(report, 2), 0x0000, "our report was heard")
        report.TransactionUID = new_uid()
        same(tell(report, 2), 0x0110, "a report about nothing that was asked")


def tell(report: Dataset, event_type: int) -> int:
    """Reports over an association of our own, on which we are the SCP (PS3.4, section J.3.3)."""
    ae = AE(ae_title="ARCHIVE")
    ae.add_requested_context(COMMITMENT)
    association = associate(ae, ext_neg=[build_role(COMMITMENT, scp_role=True)])
    check(association.accepted_contexts[0].as_scp, "our role was not accepted")
    still(association)
    status, _ = association.send_n_event_report(report, event_type, COMMITMENT, COMMITMENT_INSTANCE)
    association.release()
    return status.Status


def identity(kind: int, primary: str, secondary: str = "") -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.positive_response_requested = kind, True
    item.primary_field = primary.encode()
    if secondary:
        item.secondary_field = secondary.encode()
    return item


@contextmanager
def introduced(item: UserIdentityNegotiation, calling: str = "GATEWAY"):
    association = caller(calling).associate(
        options.host, options.dicom_port, ae_title=options.ae_title, ext_neg=[item]
    )
    yield association
    if association.is_established:
        association.release()


def identities() -> None:
    """A key of the clinic opens what its scopes say; a wrong one opens nothing."""
    def key(*scopes: str) -> str:
        return made(*scopes)["key"]

    def made(*scopes: str) -> dict:
        return http("POST", "/api/v1/api-keys", {"name": "gateway", "scopes": list(scopes)})

    stores, lists = key("study:create"), key("study:list")
    for item in (identity(2, "gateway", stores), identity(1, stores)):
        with introduced(item) as association:
            check(association.is_established, "a good key was not accepted")
            check(association.acceptor.user_identity is not None, "no positive answer")
            store(association, image(CT))
    ends = made("study:create")
    with introduced(identity(2, "gateway", ends["key"])) as association:
        store(association, image(CT))
        http("DELETE", f"/api/v1/api-keys/{ends['apiKeyId']}", expect=204)
        # An association asks anew after three seconds at the latest.
        threading.Event().wait(3.5)
        still(association)
        status = association.send_c_store(image(CT).dataset)
        same(status.Status, 0x0124, "the status of a C-STORE under a key that was revoked meanwhile")
    with introduced(identity(2, "gateway", lists)) as association:
        same(len(association.accepted_contexts), 0, "contexts for a key that may not store")
    with introduced(identity(2, "gateway", stores + "x")) as association:
        check(association.is_rejected, "a wrong key was accepted")
    with introduced(identity(1, "a name that we do not know")) as association:
        check(association.is_established, "a name that is no key is passed over")
        check(association.acceptor.user_identity is None, "a positive answer to an unknown name")


report_here()
report_elsewhere()
forward()
identities()
print("well")
