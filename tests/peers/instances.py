"""Synthetic DICOM instances for the peers: made in code, never taken from a patient."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

CT = UID("1.2.840.10008.5.1.4.1.1.2")
MR = UID("1.2.840.10008.5.1.4.1.1.4")
CR = UID("1.2.840.10008.5.1.4.1.1.1")
DX = UID("1.2.840.10008.5.1.4.1.1.1.1")
US_MULTI_FRAME = UID("1.2.840.10008.5.1.4.1.1.3.1")
SECONDARY_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")
BASIC_TEXT_SR = UID("1.2.840.10008.5.1.4.1.1.88.11")
ENCAPSULATED_PDF = UID("1.2.840.10008.5.1.4.1.1.104.1")
# Under a root for tests: a class that no dictionary knows.
PRIVATE_CLASS = UID("1.2.826.0.1.3680043.10.999.77.1")

UNCOMPRESSED = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
LOSSLESS = [RLELossless, JPEGLSLossless, JPEG2000Lossless]
LOSSY = [JPEGBaseline8Bit]
SYNTAXES = [*UNCOMPRESSED, *LOSSLESS, *LOSSY]


@dataclass
class Instance:
    """One instance: its values, its Part 10 file, its bare data set, and its pixels (None where it has none)."""

    dataset: Dataset
    file: bytes
    data_set: bytes
    pixels: np.ndarray | None

    @property
    def study(self) -> str:
        return str(self.dataset.StudyInstanceUID)

    @property
    def series(self) -> str:
        return str(self.dataset.SeriesInstanceUID)

    @property
    def uid(self) -> str:
        return str(self.dataset.SOPInstanceUID)

    @property
    def sop_class(self) -> UID:
        return UID(self.dataset.SOPClassUID)

    @property
    def syntax(self) -> UID:
        return UID(self.dataset.file_meta.TransferSyntaxUID)


def new_uid() -> UID:
    """A UID that no other run has."""
    return generate_uid()


def values(sop_class: UID, modality: str, **attributes) -> Dataset:
    """The attributes that every instance carries; keywords in `attributes` win over the defaults."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = new_uid()
    dataset.StudyInstanceUID = new_uid()
    dataset.SeriesInstanceUID = new_uid()
    dataset.StudyDate, dataset.StudyTime = "20240105", "101112"
    dataset.AccessionNumber, dataset.StudyID = "PEER", "1"
    dataset.PatientName, dataset.PatientID = "Peer^Ädä", "PEER-1"
    dataset.PatientBirthDate, dataset.PatientSex = "19800229", "O"
    dataset.ReferringPhysicianName = "Refer^Rosa"
    dataset.Modality = modality
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def finish(dataset: Dataset, syntax: UID, pixels: np.ndarray | None = None) -> Instance:
    """The values as an instance in the transfer syntax."""
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    # Without them, a client that writes the values "as they are" leaves preamble and group length out.
    dataset.preamble = bytes(128)
    dataset.file_meta.FileMetaInformationGroupLength = 0
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    file = buffer.getvalue()
    # (0002,0000) is the first element: 128 bytes, DICM, then 12 bytes that say how long the rest is.
    group_length = int.from_bytes(file[140:144], "little")
    return Instance(dataset, file, file[144 + group_length :], pixels)


def grey(shape: tuple[int, ...], number: int) -> np.ndarray:
    """A 12-bit ramp with noise, as it is stored; another number, other pixels."""
    rows, columns = shape[-2:]
    ramp = np.add.outer(np.arange(rows) * 23, np.arange(columns) * 17) % 3000
    noise = np.random.default_rng(number).integers(0, 1000, shape)
    return (ramp + noise).astype(np.uint16)


def image(
    sop_class: UID = CT,
    syntax: UID = ExplicitVRLittleEndian,
    modality: str = "CT",
    *,
    number: int = 1,
    size: tuple[int, int] = (48, 64),
    **attributes,
) -> Instance:
    """A MONOCHROME2 image; 12 bits stored in 16, or 8 bits for JPEG Baseline (whose pixels then are only near)."""
    dataset = values(sop_class, modality, InstanceNumber=number, **attributes)
    pixels = grey(size, number)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = size
    dataset.PixelRepresentation = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.WindowCenter, dataset.WindowWidth = "2048", "4096"
    dataset.RescaleIntercept, dataset.RescaleSlope = "0", "1"

    if syntax == JPEGBaseline8Bit:
        pixels = (pixels >> 4).astype(np.uint8)
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.WindowCenter, dataset.WindowWidth = "128", "256"
        dataset.LossyImageCompression = "01"
        jpeg = io.BytesIO()
        Image.fromarray(pixels).save(jpeg, "JPEG", quality=95)
        dataset.PixelData = encapsulate([jpeg.getvalue()])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        return finish(dataset, syntax, pixels)

    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    dataset.PixelData = pixels.astype(order).tobytes()
    dataset["PixelData"].VR = "OW"
    if syntax in LOSSLESS:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(syntax, generate_instance_uid=False)
    return finish(dataset, syntax, pixels)


def colour_loop(frames: int = 3, **attributes) -> Instance:
    """An ultrasound loop in RGB, 8 bits, colour by pixel."""
    rows, columns = 40, 60
    pixels = np.random.default_rng(frames).integers(0, 256, (frames, rows, columns, 3)).astype(np.uint8)
    dataset = values(US_MULTI_FRAME, "US", **attributes)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = rows, columns, frames
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.FrameTime = "40"
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    return finish(dataset, ExplicitVRLittleEndian, pixels)


def text_report(**attributes) -> Instance:
    """A structured report: nested sequences, no pixels."""
    dataset = values(BASIC_TEXT_SR, "SR", **attributes)
    title, item = Dataset(), Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "121111", "DCM", "Summary"
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", "nothing seen\nat all"
    item.ConceptNameCodeSequence = [title]
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.CompletionFlag, dataset.VerificationFlag = "PARTIAL", "UNVERIFIED"
    dataset.ContentSequence = [item]
    return finish(dataset, ExplicitVRLittleEndian)


def encapsulated_pdf(**attributes) -> Instance:
    """A document of an odd number of bytes, padded as PS3.5, section 8.1.1 wants it."""
    dataset = values(ENCAPSULATED_PDF, "DOC", **attributes)
    dataset.MIMETypeOfEncapsulatedDocument, dataset.DocumentTitle = "application/pdf", "peer"
    dataset.EncapsulatedDocument = b"%PDF-1.4\n%%EOF\n" + b"\x00"
    dataset.EncapsulatedDocumentLength = 15
    return finish(dataset, ImplicitVRLittleEndian)


def private_object(**attributes) -> Instance:
    """An instance of a private SOP class with private elements."""
    dataset = values(PRIVATE_CLASS, "OT", **attributes)
    block = dataset.private_block(0x0099, "MEDILINK PEER", create=True)
    block.add_new(0x01, "OB", b"\x00\x01\r\n--boundary\r\n")
    block.add_new(0x02, "LO", "private words")
    return finish(dataset, ExplicitVRLittleEndian)


def every_kind(**attributes) -> list[Instance]:
    """One instance of each class, and one CT in each transfer syntax."""
    number = iter(range(1, 100))
    return [
        *(image(CT, syntax, number=next(number), **attributes) for syntax in SYNTAXES),
        image(MR, ImplicitVRLittleEndian, "MR", number=next(number), **attributes),
        image(CR, JPEGLSLossless, "CR", number=next(number), **attributes),
        image(DX, JPEG2000Lossless, "DX", number=next(number), **attributes),
        image(SECONDARY_CAPTURE, ExplicitVRLittleEndian, "OT", number=next(number), **attributes),
        colour_loop(InstanceNumber=next(number), **attributes),
        text_report(InstanceNumber=next(number), **attributes),
        encapsulated_pdf(InstanceNumber=next(number), **attributes),
        private_object(InstanceNumber=next(number), **attributes),
    ]


def same(got, wanted, what: str) -> None:
    """Ends the peer with both values where they differ."""
    if got != wanted:
        sys.exit(f"FAILED: {what}: got {str(got)[:400]}, wanted {str(wanted)[:400]}")


def check(holds: bool, what: str) -> None:
    """Ends the peer where the claim does not hold."""
    if not holds:
        sys.exit(f"FAILED: {what}")
