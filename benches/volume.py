#!/usr/bin/env python3
"""A CT of many slices through a 3D network: wall time, processor time, memory, and how many frames were decoded.

    pip install numpy onnx pydicom
    benches/volume.py target/release/medilink [--slices 512] [--syntax rle]

Makes the series (noise around a bright ball, shuffled), a small network of 64×64×64 voxels with random weights, and its
card; then `medilink analyze` reads the series, and after it the service does, which counts the frames that it decodes."""

import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
from urllib.request import Request, urlopen

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

CARD = pathlib.Path(__file__).parent.parent / "tests/support/cards/things.toml"
SIDE, PORT, DICOM, TOKEN = 512, 18163, 14363, "bench-token-0123456789abcdef"
CLINIC = "00000000-0000-7000-8000-000000000001"


def network(folder):
    """Three convolutions down and one up, and the card of the tests' network, made to fit."""
    random, nodes, weights = np.random.default_rng(0), [], []

    def layer(kind, name, before, shape, then, **more):
        weights.append(numpy_helper.from_array(random.normal(0, 0.1, shape).astype(np.float32), f"{name}_w"))
        nodes.append(helper.make_node(kind, [before, f"{name}_w"], [f"{name}_raw"], **more))
        nodes.append(helper.make_node(then, [f"{name}_raw"], [name]))

    layer("Conv", "one", "image", (16, 1, 3, 3, 3), "Relu", pads=[1] * 6)
    layer("Conv", "two", "one", (32, 16, 3, 3, 3), "Relu", pads=[1] * 6, strides=[2] * 3)
    layer("Conv", "three", "two", (32, 32, 3, 3, 3), "Relu", pads=[1] * 6)
    layer("ConvTranspose", "mask", "three", (32, 1, 2, 2, 2), "Sigmoid", strides=[2] * 3)
    image, mask = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1] + [64] * 3)] for name in ("image", "mask"))
    graph = helper.make_graph(nodes, "made", image, mask, weights)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    (folder / "things.onnx").write_bytes(file)
    card = CARD.read_text().replace("SHA256", hashlib.sha256(file).hexdigest(), 1)
    card = card.replace("[1, 1, 6, 8, 8]", "[1, 1, 64, 64, 64]").replace('"nearest"', '"area"')
    card = card.replace("[0.0, 10.0]", "[-1000.0, 1000.0]\nspacing_mm = [2.0, 2.0, 2.0]").replace('"stored"', '"modality"')
    (folder / "things.toml").write_text(card)


def series(folder, slices, syntax):
    study, uid, random = generate_uid(), generate_uid(), np.random.default_rng(1)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    for number, depth in enumerate(random.permutation(slices)):
        file = Dataset()
        file.file_meta = FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = CTImageStorage
        file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid()
        file.StudyInstanceUID, file.SeriesInstanceUID, file.Modality = study, uid, "CT"
        file.PatientID, file.PatientName, file.PatientAge = "bench", "Bench", "044Y"
        file.PhotometricInterpretation, file.SamplesPerPixel, file.Rows, file.Columns = "MONOCHROME2", 1, SIDE, SIDE
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
        file.RescaleIntercept, file.RescaleSlope, file.PixelSpacing = -1024, 1, [0.7, 0.7]
        file.ImageOrientationPatient, file.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, round(0.7 * int(depth), 1)]
        ball = x**2 + y**2 + (depth - slices / 2) ** 2 < (SIDE / 5) ** 2
        file.PixelData = (random.integers(0, 60, x.shape) + np.where(ball, 1064, 24)).astype(np.uint16).tobytes()
        if syntax == "rle":
            file.compress(RLELossless, generate_instance_uid=False)
        file.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)


def served(program, ct, data):
    """Has the service take the series in and read it; nothing is made of the findings, for masks have it read anew."""
    address = f"http://127.0.0.1:{PORT}"
    line = [program, "serve", "--data-dir", data, "--http-listen", address[7:], "--dicom-listen", f"127.0.0.1:{DICOM}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(line, env={**os.environ, "MEDILINK_TOKEN": TOKEN}, **quiet)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    ask = lambda path, **more: urlopen(Request(address + path, headers=headers, **more)).read().decode()
    try:
        time.sleep(5)
        ask(f"/api/v1/clinics/{CLINIC}/settings", data=b'{"resultObjects": []}', method="PUT")
        subprocess.run([program, "ingest", ct, "--data-dir", data], check=True, **quiet)
        while not (found := json.loads(ask("/api/dicom/analyses"))):
            time.sleep(0.5)
        time.sleep(5)  # what follows an analysis decodes nothing for a network
        decoded = re.search(r"^network_frames_decoded_total (\d+)", ask("/metrics"), re.M)
        peak = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())
    finally:
        process.terminate()
        process.wait()
    return {"decoded": int(decoded[1]), "duration_ms": found[0]["durationMs"], "peak_rss_mb": int(peak[1]) * 1024 // 10**6}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("medilink", type=os.path.abspath)
    parser.add_argument("--slices", type=int, default=512)
    parser.add_argument("--syntax", choices=["plain", "rle"], default="plain")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "ct").mkdir(), (folder / "made").mkdir()
        series(folder / "ct", told.slices, told.syntax)
        network(folder / "made")
        data, made = folder / "data", f"{name}/made/things"
        for words in (["add", f"{made}.onnx", "--card", f"{made}.toml"], ["activate", "things"]):
            subprocess.run([told.medilink, "models", *words, "--data-dir", data], check=True)
        line = [told.medilink, "analyze", folder / "ct", "--model", "things", "--json", "--data-dir", data]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()
        print(*said, json.dumps({"load": os.getloadavg()[0], "served": served(told.medilink, folder / "ct", data)}), sep="\n")


if __name__ == "__main__":
    main()
