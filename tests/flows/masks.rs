//! Masks as Segmentation objects: the real program makes them of images and of series, foreign readers read them.

use clinical::imaging::FrameMap;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use inference::Mask;
use inference::report::{
    Code, ImageReference, MaskFrame, MaskPixels, Plane, Segment, Segmentation, SegmentationType,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::results::{head, judged, maker, read_by, retrieved, subject, waited_for};
use crate::support::images::{Image, fresh_uid};
use crate::support::onnx::{Graph, smoothed, sums_of_neighbours};
use crate::support::server::{BOTH, Engine, Server, TOKEN, output, wait_for};

const THINGS: &str = include_str!("../support/cards/things.toml");
const VESSELS: &str = include_str!("../support/cards/retina_vessels.toml");

/// A server with a network, active.
fn server_with(engine: Engine, network: &Graph, card: &str, name: &str) -> Server {
    let server = Server::start(engine);
    let weights = network.clone().file();
    let sha256: String = Sha256::digest(&weights).iter().map(|byte| format!("{byte:02x}")).collect();
    let (onnx, text) = (server.data.path().join("made.onnx"), server.data.path().join("made.toml"));
    std::fs::write(&onnx, weights).unwrap();
    std::fs::write(&text, card.replacen("SHA256", &sha256, 1)).unwrap();
    for arguments in
        [vec!["add", onnx.to_str().unwrap(), "--card", text.to_str().unwrap()], vec!["activate", name]]
    {
        let (is_well, text) = output(server.command().arg("models").args(arguments));
        assert!(is_well, "{text}");
    }
    server
}

/// Makes the clinic want masks and nothing else.
fn wants_masks(server: &Server) {
    let path = "/api/v1/clinics/00000000-0000-7000-8000-000000000001/settings";
    let settings = json!({ "resultObjects": ["segmentation", "fractional-segmentation"] });
    let put =
        reqwest::blocking::Client::new().put(server.url(path)).bearer_auth(TOKEN).json(&settings).send();
    assert_eq!(put.unwrap().status(), 200);
}

/// An image of 64 by 64 at a depth of its series, bright where `is_bright` says so.
fn slice(
    series: &Image,
    depth_mm: i32,
    shades: [u8; 2],
    is_bright: impl Fn(usize, usize) -> bool,
) -> Vec<u8> {
    let image = Image {
        study: series.study.clone(),
        series: series.series.clone(),
        sop: fresh_uid(),
        pixels: (0..64 * 64).map(|at| shades[usize::from(is_bright(at / 64, at % 64))]).collect(),
        ..Image::ct(1)
    };
    let mut object = image.object();
    for (tag, text) in [
        (tags::IMAGE_POSITION_PATIENT, format!("0\\0\\{depth_mm}")),
        (tags::IMAGE_ORIENTATION_PATIENT, "1\\0\\0\\0\\1\\0".to_owned()),
        (tags::PIXEL_SPACING, "0.5\\0.5".to_owned()),
        (tags::SLICE_THICKNESS, "5".to_owned()),
    ] {
        object.put(DataElement::new(tag, VR::DS, PrimitiveValue::from(text)));
    }
    object.put(DataElement::new(tags::FRAME_OF_REFERENCE_UID, VR::UI, PrimitiveValue::from("1.2.3.9")));
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

/// The study's two Segmentation objects as foreign readers read them: bits, then probabilities.
fn segmentations(server: &Server, study: &str) -> [Value; 2] {
    let found: Vec<Value> = waited_for(server, study, "SEG", 2)
        .iter()
        .enumerate()
        .map(|(at, path)| read_by("seg", &retrieved(server, path, &format!("{at}.dcm"))))
        .collect();
    let of = |kind: &str| found.iter().find(|it| it["type"] == kind).unwrap_or_else(|| panic!("{found:?}"));
    [of("BINARY").clone(), of("FRACTIONAL").clone()]
}

/// By hand: what is bright in the second of four slices becomes the second and third of six, and marks those and their
/// neighbours; back on four slices that is the first two, and the third by 7/8. Of 8 by 8 squares of 8 by 8 pixels it
/// is 2 by 2, and marks 3 by 3.
#[test]
fn a_thing_in_a_series_becomes_a_segmentation_of_the_slices_it_lies_in() {
    for engine in BOTH {
        let server = server_with(engine, &sums_of_neighbours([6, 8, 8]), THINGS, "things");
        wants_masks(&server);
        let series = Image::ct(1);
        let is_bright = |row: usize, column: usize| row < 16 && column < 16;
        let files: Vec<Vec<u8>> = [15, 0, 5, 10]
            .map(|depth| slice(&series, depth, [0, 10], |y, x| depth == 5 && is_bright(y, x)))
            .to_vec();
        assert_eq!(server.stow(&files).unwrap().status(), 200);
        let [bits, parts] = segmentations(&server, &series.study);
        assert_eq!((&bits["label"], &bits["itk_sizes"]), (&json!("A thing"), &json!([64, 64, 2])));
        assert_eq!(bits["shape"], json!([2, 64, 64, 1]), "two slices have something of it");
        assert_eq!(bits["sum"], json!(2.0 * 24.0 * 24.0));
        assert_eq!(parts["itk_sizes"], json!([64, 64, 4]), "a sigmoid leaves nothing quite out");
        let half = 4096.0 - 576.0;
        let expected = 2.0 * (576.0 + half / 2.0) + (576.0 * 7.0 / 8.0 + half / 2.0) + 2048.0;
        let sum = parts["sum"].as_f64().unwrap();
        assert!((sum - expected).abs() < 0.01 * expected, "{sum}, not {expected}");
    }
}

/// By hand: a block of 36 by 36 pixels is marked, but for its corners. It was read before the clinic wanted masks.
#[test]
fn what_is_marked_in_an_image_becomes_a_segmentation_once() {
    let card = [
        (
            "sha256 = \"437a43b7ec34e38c57196f5d96809a2a282d128856656a629c667437bff08018\"",
            "sha256 = \"SHA256\"",
        ),
        ("shape = [1, 3, 512, 512]", "shape = [1, 1, 32, 32]"),
        ("channels = \"rgb\"", "channels = \"grey\""),
        ("mask = \"vessel_probability\"", "mask = \"answers\"\nactivation = \"sigmoid\""),
        ("modality = [\"OP\"]", "modality = [\"CT\"]"),
    ]
    .iter()
    .fold(VESSELS.to_owned(), |card, (of, instead)| {
        assert!(card.contains(of), "{of} stands on the card");
        card.replacen(of, instead, 1)
    });
    let server = server_with(Engine::Sqlite, &smoothed(), &card, "retina-vessels");
    let series = Image::ct(1);
    let is_bright = |row: usize, column: usize| (10..46).contains(&row) && (20..56).contains(&column);
    assert_eq!(server.stow(&[slice(&series, 5, [20, 230], is_bright)]).unwrap().status(), 200);
    let open = || server.json("/api/findings?state=open").as_array().unwrap().clone();
    wait_for("the analysis, its report and no masks", || {
        (!open().is_empty() && server.count("jobs") == 0).then_some(())
    });
    wants_masks(&server);
    let review = |finding: &Value| {
        let path = format!("/api/findings/{}/review", finding["id"].as_str().unwrap());
        assert_eq!(server.post(&path).json(&json!({"decision": "accept"})).send().unwrap().status(), 200);
    };
    open().iter().for_each(review);
    let [bits, parts] = segmentations(&server, &series.study);
    assert_eq!((&bits["label"], &bits["itk_sizes"]), (&json!("Vessel of the retina"), &json!([64, 64, 1])));
    for sum in [bits["sum"].as_f64().unwrap(), parts["sum"].as_f64().unwrap()] {
        assert!((sum - 36.0 * 36.0).abs() < 0.05 * 36.0 * 36.0, "{sum}");
    }
    // A review makes other objects anew; a mask stays as it is.
    server.json("/api/findings?state=accepted").as_array().unwrap().iter().for_each(review);
    // An image that comes later is read, and has its own.
    assert_eq!(server.stow(&[slice(&series, 10, [20, 230], is_bright)]).unwrap().status(), 200);
    assert_eq!(waited_for(&server, &series.study, "SEG", 4).len(), 4);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Three slices of 16 by 24 pixels, of which the upper 4 rows are surely of the vessel and one pixel by 0.25.
#[test]
fn masks_become_segmentations_that_highdicom_and_dcmqi_read() {
    let folder = tempfile::tempdir().unwrap();
    let (subject, maker) = (subject(), maker());
    let slices: Vec<ImageReference> = (1..=3)
        .map(|number| ImageReference {
            series_uid: "1.2.3.1".parse().unwrap(),
            sop_class_uid: uids::CT_IMAGE_STORAGE.parse().unwrap(),
            sop_uid: format!("1.2.3.1.{number}").parse().unwrap(),
            frame_count: 1,
        })
        .collect();
    let part = |at: usize| if at < 4 * 24 { 1.0 } else { f32::from(at == 10 * 24) / 4.0 };
    let mask = Mask {
        label: "vessel".to_owned(),
        fractions: FrameMap::of_parts(0, 16, 24, (0..16 * 24).map(part)),
        is_set: (0..16 * 24).map(|at| part(at) >= 0.5).collect(),
        probability: 1.0,
        region: None,
    };
    let masks: Vec<MaskFrame<'_>> = slices
        .iter()
        .zip(0_u8..)
        .map(|(source, number)| MaskFrame {
            source,
            frame: 0,
            plane: Some(Plane {
                position_mm: [0.0, 0.0, f64::from(number) * 2.5],
                orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                spacing_mm: [0.5, 0.5],
                thickness_mm: 2.5,
            }),
            segment: 0,
        })
        .collect();
    let segments = [Segment {
        label: "vessel".to_owned(),
        category: Code::new("91723000", "SCT", "Anatomical structure"),
        property: Code::new("59820001", "SCT", "Blood vessel"),
    }];
    // 0.25 of 255 is 64, which reads back as 64/255.
    let (whole, part) = (3.0 * 4.0 * 24.0, 3.0 * 64.0 / 255.0);
    for (name, kind, sum) in [
        ("BINARY", SegmentationType::Binary, whole),
        ("FRACTIONAL", SegmentationType::Fractional, whole + part),
    ] {
        let mut pixels = MaskPixels::new(kind, (16, 24));
        for _ in 0..3 {
            assert!(pixels.push(&mask).unwrap());
        }
        let empty =
            Mask { fractions: FrameMap::of_parts(0, 1, 1, [0.0]), is_set: vec![false], ..mask.clone() };
        assert!(!pixels.push(&empty).unwrap(), "nothing would be seen of it");
        let segmentation = Segmentation {
            head: head(&subject, &maker, name),
            algorithm: "vessel",
            frame_of_reference_uid: Some("1.2.3.9"),
            segments: &segments,
            masks: &masks,
            pixels,
        };
        let path = folder.path().join(name);
        std::fs::write(&path, segmentation.clone().file().unwrap()).unwrap();
        let read = read_by("seg", &path);
        assert_eq!((&read["type"], &read["label"]), (&json!(name), &json!("vessel")));
        assert_eq!((&read["itk_sizes"], &read["shape"]), (&json!([24, 16, 3]), &json!([3, 16, 24, 1])));
        assert!((read["sum"].as_f64().unwrap() - sum).abs() < 0.01, "{read}");

        // A radiograph lies nowhere in the patient.
        let flat: Vec<_> = masks.iter().map(|mask| MaskFrame { plane: None, ..mask.clone() }).collect();
        let flat = Segmentation { masks: &flat, frame_of_reference_uid: None, ..segmentation.clone() };
        std::fs::write(&path, flat.file().unwrap()).unwrap();
        judged("object", &path, &[]);
        let nowhere = MaskFrame { segment: 1, ..masks[0].clone() };
        assert!(Segmentation { masks: &[nowhere], ..segmentation.clone() }.file().is_err());
        assert!(Segmentation { masks: &[], ..segmentation }.file().is_err());
    }
}
