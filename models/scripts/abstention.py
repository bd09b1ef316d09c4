"""Measures through the whole program how many images a network scores and on how many it abstains.

Each image of an npz file becomes a DICOM file that says no age, `medilink analyze` reads them, and the outcomes are
counted, with Wilson's 95 % interval.

    pip install numpy pydicom
    python models/scripts/abstention.py target/release/medilink pneumonia224 IMAGES.npz [--bits 12]
"""

import argparse
import collections
import json
import math
import pathlib
import subprocess
import tempfile

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

BATCH = 200


def write(path, image, bits):
    """One radiograph of nobody."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = ComputedRadiographyImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid()
    file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(), generate_uid()
    file.PatientID = file.PatientName = file.AccessionNumber = ""
    file.Modality, file.BodyPartExamined, file.ViewPosition = "CR", "CHEST", "AP"
    file.PhotometricInterpretation, file.SamplesPerPixel = "MONOCHROME2", 1
    file.Rows, file.Columns = image.shape
    file.BitsStored, file.HighBit, file.PixelRepresentation = bits, bits - 1, 0
    if bits == 8:
        file.BitsAllocated, pixels = 8, image.astype(np.uint8)
    else:
        file.BitsAllocated, pixels = 16, (image.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
        file.WindowCenter, file.WindowWidth = 2 ** (bits - 1), 2**bits
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)


def interval(count, total, z=1.96):
    """Wilson's interval of a share."""
    share, spread = count / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / total / 4) / (1 + spread)
    return middle - half, middle + half


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("medilink")
    parser.add_argument("network")
    parser.add_argument("images")
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--split", help="only images whose `split` is this")
    parser.add_argument("--data-dir", help="a folder with networks of one's own")
    told = parser.parse_args()

    data = np.load(told.images)
    images = data["images"] if told.split is None else data["images"][data["split"] == told.split]
    outcomes = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for number, image in enumerate(images):
            write(folder / f"{number:05}.dcm", image, told.bits)
        files = sorted(map(str, folder.iterdir()))
        own = ["--data-dir", told.data_dir] if told.data_dir else []
        for start in range(0, len(files), BATCH):
            command = [told.medilink, "analyze", *files[start : start + BATCH], "--model", told.network, "--json", *own]
            for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
                line = json.loads(line)
                if "summary" not in line:
                    outcomes[(line["abstention"] or {"code": "scored"})["code"]] += 1
    print(f"{len(images)} images")
    for outcome, count in outcomes.most_common():
        low, high = interval(count, len(images))
        print(f"{outcome}: {count}, {count / len(images):.3f} ({low:.3f}-{high:.3f})")


if __name__ == "__main__":
    main()
