#!/usr/bin/env python3
"""highdicom against a running server: a structured report (TID 1500) and a segmentation about a CT series, stored over
STOW-RS, read back over WADO-RS, and read by highdicom's own readers.

  highdicom_peer.py --base-url http://127.0.0.1:P/dicom-web --token T

It ends with 0, or says what failed.
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True

import highdicom as hd
import numpy as np
from dicomweb_client.api import DICOMwebClient
from highdicom.seg import Segmentation, SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from highdicom.sr import Comprehensive3DSR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from instances import check
from reading import arguments

options = arguments(__doc__)
client = DICOMwebClient(
    url=options.base_url,
    headers={"Authorization": f"Bearer {options.token}"} if options.token else None,
    timeout=60,
)

SLICES, SIDE, SPACING_MM = 4, 32, 2.0
STUDY, SERIES, FRAME_OF_REFERENCE = generate_uid(), generate_uid(), generate_uid()


def ct(number: int) -> Dataset:
    """One slice of a small CT series."""
    it = Dataset()
    it.file_meta = FileMetaDataset()
    it.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    it.file_meta.MediaStorageSOPClassUID = it.SOPClassUID = CTImageStorage
    it.file_meta.MediaStorageSOPInstanceUID = it.SOPInstanceUID = generate_uid()
    it.StudyInstanceUID, it.SeriesInstanceUID, it.FrameOfReferenceUID = STUDY, SERIES, FRAME_OF_REFERENCE
    it.PatientID, it.PatientName, it.PatientBirthDate, it.PatientSex = "HD-1", "Highdicom^Test", "19700101", "F"
    it.StudyDate, it.StudyTime, it.StudyID, it.AccessionNumber = "20260102", "101500", "1", "A-HD"
    it.ReferringPhysicianName, it.Modality, it.SeriesNumber, it.InstanceNumber = "", "CT", 1, number + 1
    it.Manufacturer, it.PositionReferenceIndicator = "Test", ""
    it.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    it.Rows = it.Columns = SIDE
    it.PixelSpacing, it.SliceThickness = [SPACING_MM, SPACING_MM], SPACING_MM
    it.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    it.ImagePositionPatient = [0, 0, number * SPACING_MM]
    it.SamplesPerPixel, it.PhotometricInterpretation, it.PixelRepresentation = 1, "MONOCHROME2", 0
    it.BitsAllocated, it.BitsStored, it.HighBit = 16, 12, 11
    it.RescaleIntercept, it.RescaleSlope = -1024, 1
    it.PixelData = np.full((SIDE, SIDE), 1000 + number, "<u2").tobytes()
    return it


def segmentation(slices: list[Dataset], mask: np.ndarray) -> Segmentation:
    """A binary segmentation of one segment."""
    algorithm = hd.AlgorithmIdentificationSequence("Test", codes.DCM.ArtificialIntelligence, "1.0")
    segment = SegmentDescription(
        1,
        "lung",
        codes.SCT.Organ,
        codes.SCT.Lung,
        SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
    return Segmentation(
        slices,
        mask,
        SegmentationTypeValues.BINARY,
        [segment],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Test",
        manufacturer_model_name="Test",
        software_versions="1.0",
        device_serial_number="1",
    )


def report(slices: list[Dataset], volume_mm3: float) -> Comprehensive3DSR:
    """A measurement report (TID 1500) with one volume."""
    observer = hd.sr.ObserverContext(codes.DCM.Device, hd.sr.DeviceObserverIdentifyingAttributes(generate_uid()))
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(generate_uid(), "lung"),
        finding_type=codes.SCT.Lung,
        measurements=[hd.sr.Measurement(codes.SCT.Volume, volume_mm3, codes.UCUM.CubicMillimeter)],
        source_images=[hd.sr.SourceImageForMeasurementGroup.from_source_image(slices[0])],
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
    )
    return Comprehensive3DSR(
        evidence=slices,
        content=content,
        series_number=3,
        series_instance_uid=generate_uid(),
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Test",
    )


slices = [ct(number) for number in range(SLICES)]
mask = np.zeros((SLICES, SIDE, SIDE), bool)
mask[1:3, 8:24, 4:20] = True
volume_mm3 = float(mask.sum() * SPACING_MM**3)
made = {"SEG": segmentation(slices, mask), "SR": report(slices, volume_mm3)}

client.store_instances(datasets=[*slices, *made.values()])

found = {it["00080060"]["Value"][0]: it for it in client.search_for_series(STUDY)}
check(sorted(found) == ["CT", "SEG", "SR"], f"three series are found, not {sorted(found)}")

read = {}
for modality, sent in made.items():
    # as it is stored: highdicom reads one-bit frames itself
    it = client.retrieve_instance(
        STUDY, sent.SeriesInstanceUID, sent.SOPInstanceUID, media_types=(("application/dicom", "*"),)
    )
    check(it.SOPClassUID == sent.SOPClassUID, f"the {modality} is of its class")
    read[modality] = it

seg = Segmentation.from_dataset(read["SEG"])
check(seg.number_of_segments == 1, "one segment")
check(seg.get_segment_description(1).segment_label == "lung", "its label")
pixels = seg.get_pixels_by_source_instance(
    [str(it.SOPInstanceUID) for it in slices], assert_missing_frames_are_empty=True
)
check(np.array_equal(pixels[..., 0].astype(bool), mask), "the mask is as it was drawn")
geometry = seg.get_volume().get_geometry()
check(np.allclose(geometry.spacing, (SPACING_MM,) * 3), "the volume's spacing")

sr = hd.sr.Comprehensive3DSR.from_dataset(read["SR"])
groups = sr.content.get_image_measurement_groups()
check(len(groups) == 1, "one group of measurements")
check(groups[0].tracking_identifier == "lung", "what it is about")
(volume,) = groups[0].get_measurements(codes.SCT.Volume)
check(volume.value == volume_mm3, "the volume")
