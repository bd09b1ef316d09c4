"""Reading back over DICOMweb, byte for byte, with a plain HTTP client: what a server stored is what was sent."""

from __future__ import annotations

import argparse
import io
import pathlib
import sys

import requests
from pydicom.filereader import read_dataset

from instances import Instance


def arguments(description: str) -> argparse.Namespace:
    """The command line that both peers share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--dicom-port", type=int)
    parser.add_argument("--ae-title", default="MEDILINK", help="the server's")
    parser.add_argument("--calling-ae", default="PEER", help="ours")
    parser.add_argument(
        "--only-known-callers", action="store_true", help="the server was not started with --any-ae"
    )
    parser.add_argument("--base-url", help="of DICOMweb, such as http://127.0.0.1:8080/dicom-web")
    parser.add_argument("--token", default="")
    parser.add_argument(
        "--data-dir", type=pathlib.Path, help="the server's, to see that nothing was left behind"
    )
    return parser.parse_args()


def part10_of(response: requests.Response) -> bytes:
    """The one `application/dicom` part of a multipart answer, whatever its bytes hold."""
    kind = response.headers["Content-Type"]
    if not kind.startswith("multipart/related"):
        sys.exit(f"FAILED: an instance came as {kind}")
    boundary = kind.partition("boundary=")[2].partition(";")[0].strip().strip('"').encode()
    body = response.content
    begin = body.index(b"\r\n\r\n") + 4
    end = body.rindex(b"\r\n--" + boundary + b"--")
    return body[begin:end]


class Reader:
    """A DICOMweb client that changes nothing and believes nothing."""

    def __init__(self, base_url: str, token: str):
        self.base_url = base_url.rstrip("/")
        self.session = requests.Session()
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def instance(self, wanted: Instance) -> requests.Response:
        """The answer to WADO-RS for the instance, as it was stored."""
        path = f"/studies/{wanted.study}/series/{wanted.series}/instances/{wanted.uid}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        return self.session.get(self.base_url + path, headers={"Accept": accept}, timeout=60)

    def holds(self, wanted: Instance) -> None:
        """Ends the peer unless the instance comes back with the transfer syntax and the data set that were sent."""
        response = self.instance(wanted)
        if response.status_code != 200:
            sys.exit(f"FAILED: {wanted.uid} answers {response.status_code}: {response.text[:300]}")
        file = part10_of(response)
        if file[128:132] != b"DICM" or not file.endswith(wanted.data_set):
            sys.exit(f"FAILED: {wanted.uid} ({wanted.syntax.name}) came back with other bytes")
        # Between the prefix and the data set stands file meta information, and nothing else.
        meta = read_dataset(io.BytesIO(file[132 : len(file) - len(wanted.data_set)]), False, True)
        if any(element.tag.group != 2 for element in meta):
            sys.exit(f"FAILED: {wanted.uid} came back longer than it was sent")
        named = (meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID, meta.MediaStorageSOPClassUID)
        if named != (wanted.syntax, wanted.uid, wanted.sop_class):
            sys.exit(f"FAILED: the file meta information of {wanted.uid} names {named}")

    def holds_not(self, unwanted: Instance) -> None:
        """Ends the peer unless the server says that it has no such instance."""
        response = self.instance(unwanted)
        if response.status_code != 404:
            sys.exit(f"FAILED: {unwanted.uid} was never acknowledged and answers {response.status_code}")

    def instance_count(self, study: str) -> int:
        """How many instances QIDO-RS lists for the study."""
        response = self.session.get(
            f"{self.base_url}/studies/{study}/instances",
            params={"limit": 1000},
            headers={"Accept": "application/dicom+json"},
            timeout=60,
        )
        if response.status_code == 204:
            return 0
        response.raise_for_status()
        return len(response.json())
