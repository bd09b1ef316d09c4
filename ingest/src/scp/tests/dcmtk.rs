//! dcmtk's tools as foreign senders; `./test` installs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dicom_core::{PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::peer::CT;
use super::*;

const IMPLICIT: &str = "1.2.840.10008.1.2";
pub(super) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";

/// Runs a tool of dcmtk against the listener, with Nagle's algorithm off on its side.
pub(super) async fn dcmtk(tool: &str, running: &Running, flags: &[&str], files: &[PathBuf]) -> Output {
    let path = Path::new("/usr/bin").join(tool);
    assert!(
        path.exists(),
        "{tool} is missing: install dcmtk (`./test` does), for example apt-get install dcmtk"
    );
    let mut command = Command::new(path);
    command.env("TCP_NODELAY", "1").args(flags);
    command.args([running.address.ip().to_string(), running.address.port().to_string()]).args(files);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub(super) fn explain(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A small CT in this transfer syntax; pixels of a compressed one are fragments that nobody decodes here.
pub(super) fn ct(folder: &Path, uid: &str, transfer_syntax: &str) -> PathBuf {
    let mut object = InMemDicomObject::new_empty();
    let text = [
        (tags::SOP_CLASS_UID, VR::UI, CT),
        (tags::SOP_INSTANCE_UID, VR::UI, uid),
        (tags::STUDY_INSTANCE_UID, VR::UI, "1.2.826.0.1.3680043.10.999.1"),
        (tags::SERIES_INSTANCE_UID, VR::UI, "1.2.826.0.1.3680043.10.999.1.1"),
        (tags::MODALITY, VR::CS, "CT"),
        (tags::PATIENT_ID, VR::LO, "SYNTHETIC"),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    ];
    for (tag, vr, value) in text {
        object.put_element(dicom_core::DataElement::new(tag, vr, PrimitiveValue::from(value)));
    }
    let numbers = [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, 128),
        (tags::COLUMNS, 128),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 16),
        (tags::HIGH_BIT, 15),
        (tags::PIXEL_REPRESENTATION, 0_u16),
    ];
    for (tag, value) in numbers {
        object.put_element(dicom_core::DataElement::new(tag, VR::US, dicom_value!(U16, [value])));
    }
    let pixels = noise(128 * 128 * 2, 5);
    if transfer_syntax == JPEG_2000 {
        let fragments = dicom_core::value::PixelFragmentSequence::new(vec![], vec![pixels]);
        object.put(dicom_core::DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    } else {
        object.put_element(dicom_core::DataElement::new(
            tags::PIXEL_DATA,
            VR::OW,
            PrimitiveValue::from(pixels),
        ));
    }
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(CT)
        .media_storage_sop_instance_uid(uid);
    let path = folder.join(format!("{uid}.dcm"));
    object.with_meta(meta).unwrap().write_to_file(&path).unwrap();
    path
}

/// The data set of a file: what follows preamble, prefix and file meta group, whose length stands at byte 140.
pub(super) fn data_set(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let group_length = u32::from_le_bytes(bytes[140..144].try_into().unwrap()) as usize;
    bytes[144 + group_length..].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn echoscu_hears_an_echo() {
    let running = Running::start().await;
    let output = dcmtk("echoscu", &running, &["-aec", "MEDILINK"], &[]).await;
    assert!(output.status.success(), "{}", explain(&output));
    assert_eq!(running.events.echoes.load(Relaxed), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn echoscu_is_told_that_it_is_a_stranger() {
    let running = Running::with(ScpSettings::default(), FakeStore::default()).await;
    let output = dcmtk("echoscu", &running, &["-aec", "MEDILINK"], &[]).await;
    assert!(!output.status.success());
    assert!(explain(&output).contains("Calling AE Title Not Recognized"), "{}", explain(&output));
    let output = dcmtk("echoscu", &running, &["-aec", "SOMEONE"], &[]).await;
    assert!(explain(&output).contains("Called AE Title Not Recognized"), "{}", explain(&output));
    running.stop().await;
}

/// storescu sends the data set as the file holds it when the file's own syntax is proposed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storescu_stores_each_syntax_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (syntax, flag)) in
        [(EXPLICIT, "-xe"), (IMPLICIT, "-xi"), (JPEG_2000, "-xv")].into_iter().enumerate()
    {
        let running = Running::start().await;
        let uid = format!("1.2.826.0.1.3680043.10.999.1.1.{number}");
        let path = ct(folder.path(), &uid, syntax);
        let output =
            dcmtk("storescu", &running, &["-aec", "MEDILINK", flag], std::slice::from_ref(&path)).await;
        assert!(output.status.success(), "{}", explain(&output));
        let stored = running.stop().await.stored();
        assert_eq!(
            (stored[0].transfer_syntax.as_str(), stored[0].sop_instance.as_str()),
            (syntax, uid.as_str())
        );
        assert!(stored[0].data == data_set(&path), "{syntax}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dcmsend_stores_a_folder_of_mixed_syntaxes() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start().await;
    let uid = |number: usize| format!("1.2.826.0.1.3680043.10.999.1.2.{number}");
    let syntaxes = [EXPLICIT, IMPLICIT, JPEG_2000];
    let paths: Vec<_> = (0..12).map(|number| ct(folder.path(), &uid(number), syntaxes[number % 3])).collect();
    let output = dcmtk("dcmsend", &running, &["-aec", "MEDILINK", "--decompress-never"], &paths).await;
    assert!(output.status.success(), "{}", explain(&output));
    let stored = running.stop().await.stored();
    assert_eq!(stored.len(), 12);
    for (number, path) in paths.iter().enumerate() {
        let instance = stored.iter().find(|instance| instance.sop_instance == uid(number)).unwrap();
        if instance.transfer_syntax == syntaxes[number % 3] {
            assert!(instance.data == data_set(path), "{}", path.display());
        }
        assert!(number % 3 != 2 || instance.transfer_syntax == JPEG_2000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storescu_reports_the_status_of_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let store = FakeStore { limit_bytes: Some(1000), ..FakeStore::default() };
    let running = Running::with(open_to_all(), store).await;
    let path = ct(folder.path(), "1.2.826.0.1.3680043.10.999.1.3", EXPLICIT);
    let output = dcmtk("storescu", &running, &["-v", "-aec", "MEDILINK"], &[path]).await;
    assert!(explain(&output).contains("Refused: OutOfResources"), "{}", explain(&output));
    assert!(running.stop().await.stored().is_empty());
}
