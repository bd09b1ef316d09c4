#!/usr/bin/env python3
"""dicomweb-client against a running server: STOW-RS, QIDO-RS, WADO-RS, and what must be refused.

  dicomweb_peer.py --base-url http://127.0.0.1:P/dicom-web --token T

It ends with 0, or says what failed.
"""

from __future__ import annotations

import io
import json
import sys

sys.dont_write_bytecode = True

import numpy as np
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from instances import (
    CR,
    CT,
    LOSSLESS,
    LOSSY,
    SYNTAXES,
    Instance,
    check,
    colour_loop,
    encapsulated_pdf,
    image,
    new_uid,
    same,
    text_report,
)
from reading import Reader, arguments, part10_of

options = arguments(__doc__)
reader = Reader(options.base_url, options.token)
client = DICOMwebClient(
    url=options.base_url,
    headers={"Authorization": f"Bearer {options.token}"} if options.token else None,
    timeout=60,
)

# What makes this run's studies its own, on a server that holds others too.
RUN = new_uid()[-10:]
DICOM_JSON = {"Accept": "application/dicom+json"}


def study(name: str, patient: str, day: str) -> dict:
    """The attributes that all instances of one study share."""
    return {
        "StudyInstanceUID": new_uid(),
        "PatientName": f"{name}^{RUN}",
        "PatientID": f"{patient}-{RUN}",
        "StudyDate": day,
        "AccessionNumber": f"{patient}{RUN}",
        "StudyDescription": "peer study",
    }


ADA, ADAM, BOB = study("Ada", "A", "20240105"), study("Adam", "B", "20240210"), study("Bob", "C", "20250301")
CT_SERIES, LOOP_SERIES = new_uid(), new_uid()
ct = [
    image(CT, syntax, number=number, SeriesInstanceUID=CT_SERIES, SeriesNumber=1, **ADA)
    for number, syntax in enumerate(SYNTAXES, 1)
]
loop = colour_loop(3, SeriesInstanceUID=LOOP_SERIES, SeriesNumber=2, InstanceNumber=1, **ADA)
radiograph = image(CR, ExplicitVRLittleEndian, "CR", number=1, **ADAM)
report = text_report(**BOB)
EVERYTHING = [*ct, loop, radiograph, report]


def uids(response: list[dict], tag: str) -> list[str]:
    """The values of one attribute, in the answer's order."""
    return [item[tag]["Value"][0] for item in response]


def studies(**filters) -> list[str]:
    """The Study Instance UIDs among this run's that the filters match."""
    found = client.search_for_studies(search_filters=filters)
    return sorted(
        set(uids(found, "0020000D"))
        & {ADA["StudyInstanceUID"], ADAM["StudyInstanceUID"], BOB["StudyInstanceUID"]}
    )


def those(*wanted: dict) -> list[str]:
    return sorted(attributes["StudyInstanceUID"] for attributes in wanted)


def accepted(answer: Dataset, instances: list[Instance]) -> None:
    """The answer names each instance with its class and a place, and no failure (PS3.18, table I.2-1)."""
    check("FailedSOPSequence" not in answer, f"instances were refused: {answer}")
    named = {item.ReferencedSOPInstanceUID: item for item in answer.ReferencedSOPSequence}
    same(sorted(named), sorted(instance.uid for instance in instances), "the instances that STOW-RS names")
    for instance in instances:
        same(named[instance.uid].ReferencedSOPClassUID, instance.sop_class, "the class that STOW-RS names")
        place = named[instance.uid].RetrieveURL
        check(place.endswith(instance.uid), f"Retrieve URL {place} names another instance")


def store_instances() -> None:
    accepted(client.store_instances([instance.dataset for instance in [*ct, loop]]), [*ct, loop])
    accepted(client.store_instances([radiograph.dataset], ADAM["StudyInstanceUID"]), [radiograph])
    accepted(client.store_instances([report.dataset]), [report])
    for instance in EVERYTHING:
        reader.holds(instance)


def store_again() -> None:
    accepted(client.store_instances([radiograph.dataset]), [radiograph])
    same(reader.instance_count(radiograph.study), 1, "the instances after the same bytes came twice")


def refused(response: requests.Response, status: int, what: str) -> dict:
    same(response.status_code, status, what)
    return response.json()


def stow(parts: list[bytes], path: str = "/studies", kind: str = "application/dicom") -> requests.Response:
    """STOW-RS by hand, for what dicomweb-client would not send."""
    boundary = b"peer-boundary"
    body = b"".join(
        b"--" + boundary + b"\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + part + b"\r\n"
        for part in parts
    )
    return reader.session.post(
        reader.base_url + path,
        data=body + b"--" + boundary + b"--\r\n",
        headers={"Content-Type": f'multipart/related; type="{kind}"; boundary=peer-boundary', **DICOM_JSON},
        timeout=60,
    )


def store_what_must_fail() -> None:
    """All failed is 409, some failed is 202, each with its reason; the good ones are kept (PS3.18, table 10.5.3-1)."""
    good, stranger = image(CT), image(CT)
    answer = refused(stow([stranger.file], f"/studies/{new_uid()}"), 409, "an instance of another study")
    same(answer["00081198"]["Value"][0]["00081155"]["Value"], [stranger.uid], "the failed instance")
    check(answer["00081198"]["Value"][0]["00081197"]["Value"][0] > 0, "no failure reason")
    reader.holds_not(stranger)

    response = stow([good.file, b"<html>not DICOM</html>"])
    same(response.status_code, 202, "one good instance beside HTML")
    same(
        response.json()["00081199"]["Value"][0]["00081155"]["Value"], [good.uid], "the instance that was kept"
    )
    reader.holds(good)

    same(stow([stranger.file[: len(stranger.file) // 2]]).status_code, 409, "half an instance")
    reader.holds_not(stranger)
    same(stow([b"a,b\n1,2\n"], kind="text/csv").status_code, 415, "a media type that is not DICOM")
    empty = reader.session.post(
        reader.base_url + "/studies",
        data=b"",
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b', **DICOM_JSON},
        timeout=60,
    )
    same(empty.status_code, 400, "an empty body")


def boundary_text_in_pixels_is_data() -> None:
    """The delimiter's own text inside the pixels, not at the start of a line, ends nothing."""
    victim = image(CT)
    pixels = bytearray(victim.dataset.PixelData)
    pixels[100:117] = b"X--peer-boundary-"
    victim.dataset.PixelData = bytes(pixels)
    buffer = io.BytesIO()
    victim.dataset.save_as(buffer, enforce_file_format=True)
    victim.file = buffer.getvalue()
    victim.data_set = victim.file[144 + int.from_bytes(victim.file[140:144], "little") :]
    same(stow([victim.file]).status_code, 200, "an instance with boundary text in its pixels")
    reader.holds(victim)


def search_for_studies() -> None:
    same(studies(StudyInstanceUID=ADA["StudyInstanceUID"]), those(ADA), "search by Study Instance UID")
    same(studies(PatientID=f"B-{RUN}"), those(ADAM), "search by Patient ID")
    same(studies(AccessionNumber=f"C{RUN}"), those(BOB), "search by Accession Number")
    same(studies(PatientName=f"Ada*^{RUN}"), those(ADA, ADAM), "search by *")
    same(studies(PatientName=f"?da^{RUN}"), those(ADA), "search by ?")
    same(
        studies(PatientID=f"*-{RUN}", StudyDate="20240101-20240131"), those(ADA), "search by a range of days"
    )
    same(
        studies(PatientID=f"*-{RUN}", StudyDate="-20240210"), those(ADA, ADAM), "search by a range open below"
    )
    same(
        studies(PatientID=f"*-{RUN}", StudyDate="20240210-"), those(ADAM, BOB), "search by a range open above"
    )
    same(studies(PatientID=f"*-{RUN}", StudyDate="20250301"), those(BOB), "search by one day")
    same(
        studies(PatientID=f"*-{RUN}", ModalitiesInStudy="US"), those(ADA), "search by a modality of the study"
    )
    same(studies(PatientID="nobody has this id"), [], "search for nobody")

    (found,) = client.search_for_studies(search_filters={"StudyInstanceUID": ADA["StudyInstanceUID"]})
    found = Dataset.from_json(found)
    same(str(found.PatientName), ADA["PatientName"], "Patient's Name of the study")
    for keyword in ("StudyDate", "AccessionNumber", "PatientID", "StudyInstanceUID"):
        same(found[keyword].value, ADA[keyword], f"{keyword} of the study")
    # PS3.18, table 10.6.3-3: what an answer at the study level carries.
    for keyword in (
        "StudyTime",
        "ModalitiesInStudy",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "ReferringPhysicianName",
    ):
        check(keyword in found, f"{keyword} is missing at the study level")
    same(sorted(found.ModalitiesInStudy), ["CT", "US"], "Modalities in Study")
    same(int(found.NumberOfStudyRelatedSeries), 2, "Number of Study Related Series")
    same(int(found.NumberOfStudyRelatedInstances), len(ct) + 1, "Number of Study Related Instances")


def page_through_studies() -> None:
    """Pages of one, in turn, are the whole, each study once."""
    filters = {"PatientID": f"*-{RUN}"}
    whole = uids(client.search_for_studies(search_filters=filters), "0020000D")
    same(sorted(whole), those(ADA, ADAM, BOB), "all studies of the run")
    pages = [client.search_for_studies(limit=1, offset=offset, search_filters=filters) for offset in range(4)]
    same([len(page) for page in pages], [1, 1, 1, 0], "the lengths of the pages")
    same([uids(page, "0020000D")[0] for page in pages[:3]], whole, "the pages in order")


def search_for_series() -> None:
    series = client.search_for_series(ADA["StudyInstanceUID"])
    same(sorted(uids(series, "0020000E")), sorted([CT_SERIES, LOOP_SERIES]), "the series of the study")
    (only,) = client.search_for_series(ADA["StudyInstanceUID"], search_filters={"Modality": "CT"})
    same(only["0020000E"]["Value"], [CT_SERIES], "the series by Modality")
    same(int(only["00201209"]["Value"][0]), len(ct), "Number of Series Related Instances")
    same(int(only["00200011"]["Value"][0]), 1, "Series Number")


def search_for_instances() -> None:
    found = client.search_for_instances(ADA["StudyInstanceUID"], CT_SERIES)
    same(
        sorted(uids(found, "00080018")),
        sorted(instance.uid for instance in ct),
        "the instances of the series",
    )
    same(len(client.search_for_instances(ADA["StudyInstanceUID"])), len(ct) + 1, "the instances of the study")
    (second,) = client.search_for_instances(
        ADA["StudyInstanceUID"], CT_SERIES, search_filters={"InstanceNumber": "2"}
    )
    same(second["00080018"]["Value"], [ct[1].uid], "the instance by Instance Number")
    for tag, value in (("00080016", str(CT)), ("00280010", 48), ("00280011", 64)):
        same(second[tag]["Value"], [value], f"({tag}) of an instance")
    pages = [
        uids(
            client.search_for_instances(ADA["StudyInstanceUID"], CT_SERIES, limit=3, offset=offset),
            "00080018",
        )
        for offset in range(0, len(ct), 3)
    ]
    same(sum(pages, []), uids(found, "00080018"), "the pages of instances in order")


def retrieve_instances() -> None:
    anything = (("application/dicom", "*"),)
    for instance in EVERYTHING:
        got = client.retrieve_instance(instance.study, instance.series, instance.uid, media_types=anything)
        same(got.file_meta.TransferSyntaxUID, instance.syntax, "the transfer syntax that came back")
        same(got, dcmread(io.BytesIO(instance.file)), f"the data set of {instance.uid}")
    series = client.retrieve_series(ADA["StudyInstanceUID"], CT_SERIES, media_types=anything)
    same(
        sorted(item.SOPInstanceUID for item in series),
        sorted(instance.uid for instance in ct),
        "a whole series",
    )
    whole = client.retrieve_study(ADA["StudyInstanceUID"], media_types=anything)
    same(
        sorted(item.SOPInstanceUID for item in whole),
        sorted(item.uid for item in [*ct, loop]),
        "a whole study",
    )


def retrieve_metadata() -> None:
    """Every element but pixels and file meta information, at the three levels."""
    levels = {
        "instance": (client.retrieve_instance_metadata(loop.study, loop.series, loop.uid), [loop]),
        "series": (client.retrieve_series_metadata(ADA["StudyInstanceUID"], CT_SERIES), ct),
        "study": (client.retrieve_study_metadata(BOB["StudyInstanceUID"]), [report]),
    }
    for level, (answer, instances) in levels.items():
        answer = answer if isinstance(answer, list) else [answer]
        got = {item["00080018"]["Value"][0]: item for item in answer}
        same(
            sorted(got), sorted(instance.uid for instance in instances), f"the instances of {level} metadata"
        )
        for instance in instances:
            metadata = Dataset.from_json(got[instance.uid], bulk_data_uri_handler=lambda *_: b"")
            stored = dcmread(io.BytesIO(instance.file))
            for element in stored:
                if element.tag == 0x7FE00010:
                    continue
                check(element.tag in metadata, f"{element.name} is missing in {level} metadata")
                same(metadata[element.tag].value, element.value, f"{element.name} in {level} metadata")


def retrieve_frames() -> None:
    """Decoded frames are little endian and equal what was drawn; lossy ones are not compared."""
    for instance in ct:
        if instance.pixels.dtype == np.uint8:
            continue
        (frame,) = client.retrieve_instance_frames(
            instance.study,
            instance.series,
            instance.uid,
            [1],
            media_types=(("application/octet-stream", ExplicitVRLittleEndian),),
        )
        same(frame, instance.pixels.astype("<u2").tobytes(), f"the frame of {instance.syntax.name}")
    frames = client.retrieve_instance_frames(
        loop.study,
        loop.series,
        loop.uid,
        [3, 1],
        media_types=(("application/octet-stream", ExplicitVRLittleEndian),),
    )
    same(len(frames), 2, "the frames that came for two that were asked for")
    same(
        sorted(frames),
        sorted([loop.pixels[2].tobytes(), loop.pixels[0].tobytes()]),
        "frames 3 and 1 of the loop",
    )
    beyond = reader.session.get(
        f"{reader.base_url}/studies/{loop.study}/series/{loop.series}/instances/{loop.uid}/frames/4",
        headers={"Accept": 'multipart/related; type="application/octet-stream"'},
        timeout=60,
    )
    check(beyond.status_code in (400, 404), f"frame 4 of 3 answers {beyond.status_code}")


def retrieve_rendered() -> None:
    """Window 2048/4096 over 12 bits: PS3.3, C.11.2.1.2.1, LINEAR, scaled to 255."""
    for instance in [ct[0], *(item for item in ct if item.syntax in LOSSLESS), radiograph]:
        png = client.retrieve_instance_rendered(
            instance.study, instance.series, instance.uid, media_types=("image/png",)
        )
        picture = np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(float)
        stored = instance.pixels.astype(float)
        linear = ((stored - 2047.5) / 4095 + 0.5) * 255
        same(picture.shape, stored.shape, "the size of the picture")
        error = np.abs(picture - np.clip(linear, 0, 255)).max()
        check(error <= 1.0, f"the picture of {instance.syntax.name} differs by {error:.1f} grey levels")
    jpeg = client.retrieve_instance_rendered(
        radiograph.study, radiograph.series, radiograph.uid, media_types=("image/jpeg",)
    )
    picture = Image.open(io.BytesIO(jpeg))
    same((picture.format, picture.size), ("JPEG", (64, 48)), "format and size of the JPEG")
    colour = client.retrieve_instance_frames_rendered(
        loop.study, loop.series, loop.uid, [2], media_types=("image/png",)
    )
    picture = np.asarray(Image.open(io.BytesIO(colour)).convert("RGB"))
    check(np.array_equal(picture, loop.pixels[1]), "the colours of frame 2 changed")


def retrieve_transcoded() -> None:
    """In Explicit VR Little Endian, which pydicom reads without a codec, the pixels are those that were drawn."""
    plain = (("application/dicom", ExplicitVRLittleEndian),)
    for instance in [item for item in ct if item.syntax not in LOSSY]:
        got = client.retrieve_instance(instance.study, instance.series, instance.uid, media_types=plain)
        same(got.file_meta.TransferSyntaxUID, ExplicitVRLittleEndian, "the transfer syntax that was asked for")
        check(np.array_equal(got.pixel_array, instance.pixels), f"pixels out of {instance.syntax.name} changed")
    # What the server writes itself.
    for syntax in LOSSLESS:
        instance = next(item for item in ct if item.syntax not in LOSSY and item.syntax != syntax)
        kinds = (("application/dicom", syntax),)
        got = client.retrieve_instance(instance.study, instance.series, instance.uid, media_types=kinds)
        same(got.file_meta.TransferSyntaxUID, syntax, "the transfer syntax that was asked for")
        check(np.array_equal(got.pixel_array, instance.pixels), f"pixels in {syntax.name} changed")


def retrieve_bulkdata() -> None:
    """What the metadata tell by URL is found there, whole and in part."""
    document = encapsulated_pdf(**study("Eve", "D", "20240301"))
    value = b"%PDF-1.4\n" + bytes(range(256)) * 20
    document.dataset.EncapsulatedDocument = value + b"\x00" * (len(value) % 2)
    buffer = io.BytesIO()
    document.dataset.save_as(buffer, enforce_file_format=True)
    accepted(client.store_instances([dcmread(io.BytesIO(buffer.getvalue()))]), [document])
    metadata = client.retrieve_instance_metadata(document.study, document.series, document.uid)
    # this client names its host without the port, and so do the URLs that it is answered
    here = lambda url: reader.base_url + url.partition("/dicom-web")[2]  # noqa: E731
    uri = here(metadata["00420011"]["BulkDataURI"])
    same(client.retrieve_bulkdata(uri)[0].rstrip(b"\x00"), value, "the document behind its BulkDataURI")
    same(client.retrieve_bulkdata(uri, byte_range=(9, 264)), [bytes(range(256))], "a range of the document")
    pixels = client.retrieve_instance_metadata(ct[0].study, ct[0].series, ct[0].uid)["7FE00010"]["BulkDataURI"]
    same(client.retrieve_bulkdata(here(pixels)), [ct[0].pixels.tobytes()], "the pixels behind their BulkDataURI")


def retrieve_more_pictures() -> None:
    """A loop moves in one GIF; a series comes picture by picture; WADO-URI names the same by its query."""
    moving = client.retrieve_instance_rendered(loop.study, loop.series, loop.uid, media_types=("image/gif",))
    same(Image.open(io.BytesIO(moving)).n_frames, 3, "the frames of the GIF")
    path = f"{reader.base_url}/studies/{ADA['StudyInstanceUID']}/series/{CT_SERIES}/rendered"
    answer = reader.session.get(path, headers={"Accept": 'multipart/related; type="image/png"'}, timeout=60)
    same(answer.content.count(b"\x89PNG\r\n"), len(ct), "the pictures of a series")
    first = ct[0]
    wado = reader.session.get(
        reader.base_url.removesuffix("/dicom-web") + "/wado",
        params={
            "requestType": "WADO",
            "studyUID": first.study,
            "seriesUID": first.series,
            "objectUID": first.uid,
            "contentType": "application/dicom",
        },
        timeout=60,
    )
    same(wado.content, part10_of(reader.instance(first)), "the instance by WADO-URI and by WADO-RS")


def store_as_json() -> None:
    """What pydicom writes as DICOM JSON, with the pixels as a part of their own, becomes an instance again."""
    original = image(CT)
    bulk: list[bytes] = []

    def put_aside(element) -> str:
        bulk.append(element.value)
        return "pixels-of-the-peer"

    metadata = original.dataset.to_json_dict(bulk_data_threshold=1024, bulk_data_element_handler=put_aside)
    boundary = b"peer-boundary"
    octets = f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}".encode()
    body = b"".join(
        [
            b"--" + boundary + b"\r\nContent-Type: application/dicom+json\r\n\r\n",
            json.dumps([metadata]).encode(),
            b"\r\n--" + boundary + b"\r\nContent-Type: " + octets,
            b"\r\nContent-Location: pixels-of-the-peer\r\n\r\n" + bulk[0],
            b"\r\n--" + boundary + b"--\r\n",
        ]
    )
    kind = 'multipart/related; type="application/dicom+json"; boundary=peer-boundary'
    answer = reader.session.post(
        reader.base_url + "/studies", data=body, headers={"Content-Type": kind, **DICOM_JSON}, timeout=60
    )
    same(answer.status_code, 200, "metadata and bulk data")
    got = client.retrieve_instance(
        original.study, original.series, original.uid, media_types=(("application/dicom", "*"),)
    )
    check(np.array_equal(got.pixel_array, original.pixels), "pixels that came as bulk data changed")
    for element in original.dataset:
        same(got[element.tag].value, element.value, f"{element.name} that came as JSON")


def strangers_and_the_unknown() -> None:
    check(
        reader.session.get(
            f"{reader.base_url}/studies/{new_uid()}/metadata", headers=DICOM_JSON, timeout=60
        ).status_code
        == 404,
        "metadata of an unknown study",
    )
    reader.holds_not(image(CT, RLELossless))
    if options.token:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            for path in ("/studies", f"/studies/{loop.study}/metadata"):
                response = requests.get(reader.base_url + path, headers=headers, timeout=60)
                same(response.status_code, 401, f"{path} without the token")
                check(loop.study not in response.text, "an answer to a stranger names a study")


CHECKS = [
    store_instances,
    store_again,
    store_what_must_fail,
    boundary_text_in_pixels_is_data,
    search_for_studies,
    page_through_studies,
    search_for_series,
    search_for_instances,
    retrieve_instances,
    retrieve_metadata,
    retrieve_frames,
    retrieve_rendered,
    retrieve_transcoded,
    retrieve_bulkdata,
    retrieve_more_pictures,
    store_as_json,
    strangers_and_the_unknown,
]

if __name__ == "__main__":
    for step in CHECKS:
        step()
        print(f"ok: {step.__name__.replace('_', ' ')}", flush=True)
