#!/usr/bin/env python3
"""pynetdicom against a running server: C-FIND of every level, C-GET, and C-MOVE to a node of its own.

  MOVE_PORT=Q pynetdicom_query.py --dicom-port P --ae-title MEDILINK --calling-ae MOVER

The server has been told MOVER=127.0.0.1:Q. It ends with 0, or says what failed.
"""

from __future__ import annotations

import os
import sys

sys.dont_write_bytecode = True

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind as PatientFind,
    StudyRootQueryRetrieveInformationModelFind as StudyFind,
    StudyRootQueryRetrieveInformationModelGet as StudyGet,
    StudyRootQueryRetrieveInformationModelMove as StudyMove,
)

from instances import CT, check, image, new_uid, same
from reactor import still
from reading import arguments

MOVE_PORT = int(os.environ["MOVE_PORT"])
options = arguments(__doc__)

STUDY, SERIES = new_uid(), new_uid()
RUN = str(STUDY)[-8:]
FACTS = {
    "StudyInstanceUID": STUDY,
    "SeriesInstanceUID": SERIES,
    "PatientName": f"Muster{RUN}^Ädä=山田^太郎",
    "PatientID": f"Q-{RUN}",
    "AccessionNumber": RUN,
}
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless]
INSTANCES = {
    instance.uid: instance
    for number, syntax in enumerate(SYNTAXES, 1)
    for instance in [image(CT, syntax, number=number, **FACTS)]
}


def ae() -> AE:
    entity = AE(ae_title=options.calling_ae)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    return entity


def associate(entity: AE, **more):
    association = entity.associate(options.host, options.dicom_port, ae_title=options.ae_title, **more)
    check(association.is_established, "the association was not accepted")
    return association


def keys(level: str, **values) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def store() -> None:
    entity = ae()
    for syntax in SYNTAXES:
        entity.add_requested_context(CT, syntax)
    association = associate(entity)
    for instance in INSTANCES.values():
        still(association)
        same(association.send_c_store(instance.dataset).Status, 0x0000, f"C-STORE in {instance.syntax.name}")
    association.release()


def find() -> None:
    entity = ae()
    entity.add_requested_context(StudyFind)
    entity.add_requested_context(PatientFind)
    association = associate(entity)

    def found(model, dataset: Dataset) -> list[Dataset]:
        still(association)
        answers = list(association.send_c_find(dataset, model))
        same(answers[-1][0].Status, 0x0000, "the last status of C-FIND")
        for status, _ in answers[:-1]:
            same(status.Status, 0xFF00, "a pending status of C-FIND")
        return [identifier for _, identifier in answers[:-1]]

    for name in [f"Muster{RUN}^*", f"muster{RUN}^?d?=*", "山田^太郎"]:
        wanted = keys("STUDY", PatientName=name, AccessionNumber=RUN, StudyInstanceUID="")
        same([it.StudyInstanceUID for it in found(StudyFind, wanted)], [STUDY], f"studies of {name}")
    (patient,) = found(PatientFind, keys("PATIENT", PatientID=f"Q-{RUN}", PatientName="", PatientSex=""))
    same(str(patient.PatientName), FACTS["PatientName"], "the patient's name")
    same(patient.PatientSex, "O", "the patient's sex")
    (series,) = found(
        StudyFind, keys("SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID="", NumberOfSeriesRelatedInstances="")
    )
    same((series.SeriesInstanceUID, series.NumberOfSeriesRelatedInstances), (SERIES, 4), "the series")
    images = found(
        StudyFind, keys("IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID="", Rows=None)
    )
    same({it.SOPInstanceUID for it in images}, set(INSTANCES), "the images")
    still(association)
    wrong = list(association.send_c_find(keys("STUDY", StudyDate="soon"), StudyFind))
    same(wrong[0][0].Status, 0xA900, "the status of a date that is none")
    association.release()


def taken(event, got: dict) -> int:
    syntax = event.context.transfer_syntax
    got[str(event.request.AffectedSOPInstanceUID)] = (syntax, event.request.DataSet.getvalue(), event.dataset)
    return 0x0000


def get() -> None:
    """Where the stored syntax is taken it comes bit for bit; else the same pixels come uncompressed."""
    got: dict = {}
    entity = ae()
    entity.add_requested_context(StudyGet)
    entity.add_requested_context(CT, RLELossless)
    entity.add_requested_context(CT, ExplicitVRLittleEndian)
    handlers = [(evt.EVT_C_STORE, taken, [got])]
    association = associate(entity, ext_neg=[build_role(CT, scp_role=True)], evt_handlers=handlers)
    still(association)
    answers = list(association.send_c_get(keys("STUDY", StudyInstanceUID=STUDY), StudyGet))
    association.release()
    last = answers[-1][0]
    same((last.Status, last.NumberOfCompletedSuboperations), (0x0000, 4), "the last response of C-GET")
    same([status.NumberOfRemainingSuboperations for status, _ in answers[:-1]], [3, 2, 1, 0], "what remained")
    same(set(got), set(INSTANCES), "the instances of C-GET")
    for uid, (syntax, data_set, dataset) in got.items():
        kept = INSTANCES[uid]
        wanted = kept.syntax if kept.syntax == RLELossless else ExplicitVRLittleEndian
        same(syntax, wanted, f"the syntax of an instance stored in {kept.syntax.name}")
        if syntax == kept.syntax:
            check(data_set == kept.data_set, f"{kept.syntax.name} did not come bit for bit")
        else:
            check(dataset.PixelData[: kept.pixels.nbytes] == kept.pixels.tobytes(), f"{kept.syntax.name}: other pixels")


def move() -> None:
    got: dict = {}
    node = ae()
    for syntax in SYNTAXES:
        node.add_supported_context(CT, syntax)
    originators = []

    def handle(event):
        request = event.request
        originators.append((request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID))
        return taken(event, got)

    server = node.start_server(("127.0.0.1", MOVE_PORT), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    entity = ae()
    entity.add_requested_context(StudyMove)
    association = associate(entity)
    wanted = keys("IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID=list(INSTANCES))
    still(association)
    answers = list(association.send_c_move(wanted, options.calling_ae, StudyMove, msg_id=77))
    still(association)
    stranger = list(association.send_c_move(wanted, "STRANGER", StudyMove))
    association.release()
    server.shutdown()
    same(answers[-1][0].Status, 0x0000, "the last status of C-MOVE")
    same(stranger[0][0].Status, 0xA801, "the status of a C-MOVE to a stranger")
    same(set(got), set(INSTANCES), "the instances of C-MOVE")
    same(set(originators), {(options.calling_ae, 77)}, "the originator")
    for uid, (syntax, data_set, _) in got.items():
        kept = INSTANCES[uid]
        same(syntax, kept.syntax, "the syntax of a moved instance")
        check(data_set == kept.data_set, f"{kept.syntax.name} was not moved bit for bit")


store()
find()
get()
move()
print("pynetdicom asked, got and moved")
