#!/usr/bin/env python3
"""pynetdicom against a running server: C-ECHO, C-STORE of every kind, refusals, and senders that vanish.

  pynetdicom_peer.py --dicom-port P --ae-title MEDILINK [--base-url URL --token T] [--data-dir DIR]

With --base-url each stored instance is read back and compared. It ends with 0, or says what failed.
"""

from __future__ import annotations

import io
import sys
import threading

sys.dont_write_bytecode = True

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.presentation import build_context

from instances import CT, MR, Instance, check, every_kind, finish, image, new_uid, same, values
from reactor import still
from reading import Reader, arguments

VERIFICATION = "1.2.840.10008.1.1"
SUCCESS = 0x0000
# PS3.4, table B.2-1: A9xx, data set does not match SOP class; Cxxx, cannot understand.
MISMATCH = range(0xA900, 0xAA00)
CANNOT_UNDERSTAND = range(0xC000, 0xD000)
# PS3.7, table C.5: an instance UID that breaks the rules may also be told as 0117.
INVALID_INSTANCE = range(0x0117, 0x0118)

options = arguments(__doc__)
reader = Reader(options.base_url, options.token) if options.base_url else None


def associate(contexts, called: str | None = None, calling: str | None = None) -> Association:
    ae = AE(ae_title=calling or options.calling_ae)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
    ae.connection_timeout = 10
    return ae.associate(options.host, options.dicom_port, contexts, ae_title=called or options.ae_title)


def open_for(instances: list[Instance]) -> Association:
    """An association with one context for each pair of SOP class and transfer syntax, all of them accepted."""
    pairs = sorted({(instance.sop_class, instance.syntax) for instance in instances})
    association = associate([build_context(sop_class, [syntax]) for sop_class, syntax in pairs])
    check(association.is_established, f"the association for {len(pairs)} contexts was not accepted")
    accepted = {
        (context.abstract_syntax, context.transfer_syntax[0]) for context in association.accepted_contexts
    }
    same(accepted, set(pairs), "the accepted presentation contexts")
    return association


def context_id(association: Association, instance: Instance) -> int:
    for context in association.accepted_contexts:
        if (context.abstract_syntax, context.transfer_syntax[0]) == (instance.sop_class, instance.syntax):
            return context.context_id
    raise LookupError(instance.uid)


def request_for(instance: Instance, message_id: int = 1) -> C_STORE:
    request = C_STORE()
    request.MessageID = message_id
    request.Priority = 2
    request.AffectedSOPClassUID = instance.sop_class
    request.AffectedSOPInstanceUID = instance.uid
    request.DataSet = io.BytesIO(instance.data_set)
    return request


def send(association: Association, request: C_STORE, context: int) -> int:
    """Sends the bytes as they are, without pynetdicom's own encoding, and gives the answer's status."""
    still(association)
    association.dimse.send_msg(request, context)
    answered_on, response = association.dimse.get_msg(block=True)
    check(
        response is not None, f"no answer to C-STORE {request.MessageID} of {request.AffectedSOPInstanceUID}"
    )
    same(answered_on, context, "the presentation context of the answer")
    same(response.MessageIDBeingRespondedTo, request.MessageID, "the message that was answered")
    same(response.AffectedSOPInstanceUID, request.AffectedSOPInstanceUID, "the instance that was answered")
    return response.Status


def store(association: Association, instance: Instance, message_id: int = 1) -> int:
    return send(association, request_for(instance, message_id), context_id(association, instance))


def stored(association: Association, instance: Instance, message_id: int = 1) -> None:
    status = store(association, instance, message_id)
    same(
        f"{status:04X}",
        f"{SUCCESS:04X}",
        f"the status of {instance.sop_class.name} in {instance.syntax.name}",
    )


def read_back(instances: list[Instance]) -> None:
    if reader:
        for instance in instances:
            reader.holds(instance)


def echo() -> None:
    association = associate([build_context(VERIFICATION)])
    check(association.is_established, "the association for C-ECHO was not accepted")
    for message_id in (1, 2, 3):
        still(association)
        answer = association.send_c_echo(message_id)
        same(answer.get("Status"), SUCCESS, "the status of C-ECHO")
    association.release()
    check(association.is_released, "the association was not released")


def each_kind_alone() -> None:
    for instance in every_kind():
        association = open_for([instance])
        stored(association, instance)
        association.release()
        read_back([instance])


def all_kinds_in_one_association() -> None:
    instances = every_kind(StudyInstanceUID=new_uid())
    association = open_for(instances)
    for number, instance in enumerate(instances, 1):
        stored(association, instance, number)
    association.release()
    read_back(instances)
    if reader:
        same(reader.instance_count(instances[0].study), len(instances), "the instances of the study")


def the_first_syntax_that_is_offered_may_be_any() -> None:
    """One context that offers several transfer syntaxes: one of them is accepted, and it holds (PS3.8, 9.3.3.2)."""
    association = associate([build_context(CT, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])])
    check(association.is_established, "several transfer syntaxes in one context were not accepted")
    instance = image(CT, association.accepted_contexts[0].transfer_syntax[0])
    stored(association, instance)
    association.release()
    read_back([instance])


def the_same_again() -> None:
    """The same bytes again succeed without a second copy."""
    instance = image(MR, ImplicitVRLittleEndian, "MR")
    association = open_for([instance])
    for message_id in (1, 2, 3):
        stored(association, instance, message_id)
    association.release()
    read_back([instance])
    if reader:
        same(reader.instance_count(instance.study), 1, "the instances after the same bytes came three times")


def many_at_once(associations: int = 8, each: int = 25) -> None:
    study = new_uid()
    work = [
        [image(CT, number=100 * a + i, size=(128, 128), StudyInstanceUID=study) for i in range(each)]
        for a in range(associations)
    ]
    failures: list[BaseException] = []
    ready = threading.Barrier(associations)

    def sender(instances: list[Instance]) -> None:
        try:
            association = open_for(instances)
            ready.wait(60)
            for number, instance in enumerate(instances, 1):
                stored(association, instance, number)
            association.release()
        except BaseException as failure:  # a thread's exit must end the peer
            failures.append(failure)
            ready.abort()

    threads = [threading.Thread(target=sender, args=(instances,)) for instances in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    same([str(failure) for failure in failures], [], "the failures of parallel associations")
    sent = [instance for instances in work for instance in instances]
    read_back(sent)
    if reader:
        same(reader.instance_count(study), associations * each, "the instances of the parallel study")


def rejection(association: Association) -> tuple[int, int, int]:
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8, section 9.3.4)."""
    check(association.is_rejected, "the association was not rejected")
    answer = association.acceptor.primitive
    return answer.result, answer.result_source, answer.diagnostic


def wrong_titles_are_rejected() -> None:
    """Rejected permanently, by the service user: 7 for the called title, 3 for the calling one (PS3.8, 9.3.4)."""
    wrong = associate([build_context(VERIFICATION)], called="SOMEONE_ELSE")
    same(rejection(wrong), (1, 1, 7), "result, source, reason for a called AE title that is not ours")
    if options.only_known_callers:
        stranger = associate([build_context(VERIFICATION)], calling="STRANGER")
        same(rejection(stranger), (1, 1, 3), "result, source, reason for a calling AE title that is unknown")


def bad_instances_harm_only_themselves() -> None:
    """Each gets its failure, on an association that goes on; a good one between them is stored."""
    good = image(CT)
    junk = image(CT)
    junk.data_set = b"<html>not a data set</html>" * 40
    cut = image(CT)
    cut.data_set = cut.data_set[: len(cut.data_set) // 2]
    stub = image(CT)
    stub.data_set = stub.data_set[:6]
    other_class = image(MR, ExplicitVRLittleEndian, "MR")
    other_uid = image(CT)
    nameless = finish(values(CT, "CT"), ExplicitVRLittleEndian)
    del nameless.dataset.StudyInstanceUID
    nameless = finish(nameless.dataset, ExplicitVRLittleEndian)
    climbing = finish(values(CT, "CT", SeriesInstanceUID="1.2.3"), ExplicitVRLittleEndian)
    climbing.data_set = climbing.data_set.replace(b"1.2.3\x00", b"../../")

    association = open_for([good])
    context = context_id(association, good)
    failures = [
        ("a data set of HTML", request_for(junk), [*CANNOT_UNDERSTAND, *MISMATCH]),
        ("half a data set", request_for(cut), [*CANNOT_UNDERSTAND, *MISMATCH]),
        ("a data set of six bytes", request_for(stub), [*CANNOT_UNDERSTAND, *MISMATCH]),
        ("a data set without Study Instance UID", request_for(nameless), [*MISMATCH, *CANNOT_UNDERSTAND]),
        ("a UID that is a path", request_for(climbing), [*MISMATCH, *CANNOT_UNDERSTAND, *INVALID_INSTANCE]),
    ]
    mismatch = request_for(other_class)
    mismatch.AffectedSOPClassUID = CT
    failures.append(("a data set of another SOP class", mismatch, [*MISMATCH]))
    renamed = request_for(other_uid)
    renamed.AffectedSOPInstanceUID = new_uid()
    failures.append(("a data set of another SOP instance", renamed, [*MISMATCH]))

    for number, (what, request, allowed) in enumerate(failures, 1):
        request.MessageID = number
        status = send(association, request, context)
        check(status in allowed, f"{what} was answered with {status:04X}")
    stored(association, good, 99)
    association.release()
    read_back([good])
    if reader:
        for instance in (junk, cut, stub, other_class, other_uid):
            reader.holds_not(instance)
    nothing_left_of(junk, cut, stub, other_class, other_uid, nameless, climbing)


def nothing_left_of(*instances: Instance) -> None:
    """No file of the data folder carries the UID of an instance that was not acknowledged."""
    if options.data_dir is None:
        return
    names = [str(path) for path in options.data_dir.rglob("*")]
    for instance in instances:
        left = [name for name in names if instance.uid in name]
        same(left, [], f"the files that {instance.uid} left behind")


def fragments(association: Association, instance: Instance) -> list[bytes]:
    """The C-STORE of the instance as P-DATA-TF PDUs of at most 4 KiB."""
    message = C_STORE_RQ()
    message.primitive_to_message(request_for(instance))
    encoded = []
    for primitive in message.encode_msg(context_id(association, instance), 4096):
        pdu = P_DATA_TF()
        pdu.from_primitive(primitive)
        encoded.append(pdu.encode())
    check(len(encoded) > 4, "the data set is too small to be cut")
    return encoded


def vanish(instance: Instance) -> None:
    """Sends half a C-STORE, the last PDU cut too, then closes the connection without a word."""
    association = open_for([instance])
    pdus = b"".join(fragments(association, instance))
    wire = association.dul.socket.socket
    wire.sendall(pdus[: len(pdus) // 2])
    wire.shutdown(2)
    association.join(30)
    check(not association.is_alive(), "pynetdicom did not see the end of its own association")


def abort(instance: Instance) -> None:
    """Sends half a C-STORE in whole PDUs, then A-ABORT."""
    association = open_for([instance])
    pdus = fragments(association, instance)
    association.dul.socket.socket.sendall(b"".join(pdus[: len(pdus) // 2]))
    association.abort()
    check(association.is_aborted, "the association was not aborted")


def aborted_senders_leave_the_server_well() -> None:
    for end in (abort, vanish):
        instance = image(CT, size=(256, 256))
        for _ in range(5):
            end(instance)
        echo()
        if reader:
            reader.holds_not(instance)
        nothing_left_of(instance)
        association = open_for([instance])
        stored(association, instance)
        association.release()
        read_back([instance])


CHECKS = [
    echo,
    each_kind_alone,
    all_kinds_in_one_association,
    the_first_syntax_that_is_offered_may_be_any,
    the_same_again,
    many_at_once,
    wrong_titles_are_rejected,
    bad_instances_harm_only_themselves,
    aborted_senders_leave_the_server_well,
]

if __name__ == "__main__":
    for step in CHECKS:
        step()
        print(f"ok: {step.__name__.replace('_', ' ')}", flush=True)
