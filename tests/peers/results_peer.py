"""Reads our results with what others wrote: highdicom, dcmqi, dicom3tools and dcmtk for DICOM, fhir.resources for FHIR.

    results_peer.py sr FILE                    a Measurement Report; prints what highdicom reads of it as JSON
    results_peer.py seg FILE                   a Segmentation with three frames of one volume
    results_peer.py object FILE                any other object
    results_peer.py fhir FILE [SCHEMA]         a FHIR resource, or a Bundle of them, as JSON
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile

BIN = pathlib.Path(sys.executable).parent


def run(*command: str | pathlib.Path) -> str:
    """The output of a program that must end well."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    if done.returncode != 0:
        sys.exit(f"FAILED: {command[0]}: {output}")
    return output


def verify(path: str) -> None:
    """dicom3tools: no error; its warnings are about what the standard leaves open."""
    done = subprocess.run(["/usr/bin/dciodvfy", "-new", path], capture_output=True, text=True, check=False)
    errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
    if errors:
        sys.exit("FAILED: dciodvfy: " + "\n".join(errors))


def structured_report(path: str) -> None:
    import highdicom

    verify(path)
    dump = run("/usr/bin/dsrdump", path)
    if "Imaging Measurement Report" not in dump:
        sys.exit(f"FAILED: dsrdump shows no report: {dump}")
    with tempfile.TemporaryDirectory() as folder:
        metadata = pathlib.Path(folder) / "metadata.json"
        run(BIN / "tid1500reader", "--inputDICOM", path, "--outputMetadata", metadata)
        read_by_dcmqi = json.loads(metadata.read_text())
    report = highdicom.sr.srread(path)
    groups = report.content.get_image_measurement_groups()
    if len(groups) != len(read_by_dcmqi["Measurements"]):
        sys.exit("FAILED: dcmqi and highdicom see different groups")
    read = {
        "sop_instance_uid": report.SOPInstanceUID,
        "series_instance_uid": report.SeriesInstanceUID,
        "verification": report.VerificationFlag,
        "predecessors": [
            instance.ReferencedSOPInstanceUID
            for study in report.get("PredecessorDocumentsSequence", [])
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        ],
        "observers": [
            item.TextValue
            for item in report.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeValue == "121013"
        ],
        "groups": [
            {
                "finding": group.finding_type.meaning if group.finding_type else None,
                "measurements": {it.name.meaning: [it.value, it.unit.value] for it in group.get_measurements()},
                "evaluations": {it.name.meaning: it.value.meaning for it in group.get_qualitative_evaluations()},
            }
            for group in groups
        ],
    }
    print(json.dumps(read))


def segmentation(path: str) -> None:
    import highdicom

    verify(path)
    read = highdicom.seg.segread(path)
    with tempfile.TemporaryDirectory() as folder:
        run(
            BIN / "segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder,
            "--prefix", "seg", "--outputType", "nrrd",
        )
        header = (pathlib.Path(folder) / "seg-1.nrrd").read_bytes().split(b"\n\n")[0].decode()
    sizes = next(line for line in header.splitlines() if line.startswith("sizes:"))
    sources = [item.ReferencedSOPInstanceUID for item in read.ReferencedSeriesSequence[0].ReferencedInstanceSequence]
    pixels = read.get_pixels_by_source_instance(sources, rescale_fractional=True)
    print(json.dumps({
        "type": read.SegmentationType,
        "label": read.get_segment_description(1).segment_label,
        "itk_sizes": [int(size) for size in sizes.split()[1:]],
        "shape": list(pixels.shape),
        "sum": float(pixels.sum()),
    }))


def fhir(path: str, schema: str | None) -> None:
    import fhir.resources.R4B as resources

    value = json.loads(pathlib.Path(path).read_text())
    resources.get_fhir_model_class(value["resourceType"]).model_validate(value)
    if schema is not None:
        import jsonschema_rs

        found = json.loads(pathlib.Path(schema).read_text())
        # The package refers to two definitions that it leaves out: a resource inside another is any of them, and R4
        # has no such number.
        found["definitions"].setdefault("Resource", {"oneOf": found["oneOf"]})
        found["definitions"].setdefault("integer64", {"not": {}})
        name = value["resourceType"]
        found = {"$schema": found["$schema"], "$ref": f"#/definitions/{name}", "definitions": found["definitions"]}
        validator = jsonschema_rs.validator_for(found)
        errors = [f"{list(it.instance_path)}: {it.message}" for it in validator.iter_errors(value)]
        if errors:
            sys.exit("FAILED: R4's schema: " + "\n".join(errors)[:4000])
    print(value["resourceType"])


def main() -> None:
    kind, path, *more = sys.argv[1:]
    if kind == "sr":
        structured_report(path)
    elif kind == "seg":
        segmentation(path)
    elif kind == "object":
        verify(path)
    elif kind == "fhir":
        fhir(path, more[0] if more else None)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
