//! Every object in every transfer syntax that we write, read by pydicom.

use std::path::Path;

use ::pixels::{DecodePool, ENCODERS, PixelLimits, TranscodeError, transcode};
use clinical::uid::TransferSyntaxUid;
use serde::{Deserialize, Serialize};

use crate::reference::{Foreign, Pixels, Reference, run_script};
use crate::run::Failures;

const BASELINE: &str = "1.2.840.10008.1.2.4.50";
/// What quantizer and halved colours take at most, in grey levels, of images that are no noise.
const LOSSY_LEVELS: i64 = 60;
/// Larger objects are left to the smaller ones of their kind: pydicom and its codecs take minutes over all.
const MOST_SAMPLES: u64 = 600_000;

#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    to: &'a str,
    file: String,
    original: &'a str,
    kind: &'a str,
}

#[derive(Deserialize)]
struct Compared {
    name: String,
    to: String,
    furthest: Option<i64>,
    error: Option<String>,
}

/// What pydicom reads otherwise than the original.
pub fn compared(reference: &Reference) -> Failures {
    let mut failures = Failures::new();
    let mut written = Vec::new();
    for file in &reference.files {
        let Some(pixels) = &file.pixels else { continue };
        if pixels.is_lossy || pixels.shape.iter().product::<u64>() > MOST_SAMPLES {
            continue;
        }
        for (index, to) in ENCODERS.iter().enumerate() {
            match one(reference, file, to) {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    let name = format!("{}.{index}.dcm", pixels.file);
                    std::fs::write(reference.folder.path().join(&name), bytes).unwrap();
                    let Pixels { file: original, kind, .. } = pixels;
                    written.push(Written { name: &file.name, to, file: name, original, kind });
                }
                Err(found) => {
                    failures.insert((file.name.clone(), "transcoded"), format!("to {to}: {found}"));
                }
            }
        }
    }
    assert!(written.len() > 1_000, "only {} objects were written", written.len());
    let folder = reference.folder.path();
    std::fs::write(folder.join("written.json"), serde_json::to_vec(&written).unwrap()).unwrap();
    run_script(&["compare", folder.to_str().unwrap()]);
    for Compared { name, to, furthest, error } in outcome(folder) {
        let most = if to == BASELINE { LOSSY_LEVELS } else { 0 };
        let found = match (furthest, error) {
            (Some(furthest), _) if furthest <= most => continue,
            (Some(furthest), _) => format!("a sample is off by {furthest}"),
            (None, error) => error.unwrap_or_default(),
        };
        failures.insert((name, "transcoded"), format!("to {to}: {found}"));
    }
    failures
}

fn outcome(folder: &Path) -> Vec<Compared> {
    serde_json::from_slice(&std::fs::read(folder.join("compared.json")).unwrap()).unwrap()
}

/// The object as `to`; `None` where that syntax has no place for its pixels.
fn one(reference: &Reference, file: &Foreign, to: &str) -> Result<Option<Vec<u8>>, String> {
    let Ok(object) = reference.object(file) else { return Ok(None) };
    let to: TransferSyntaxUid = to.parse().unwrap();
    match transcode(&object, &to, &PixelLimits::default(), &DecodePool::inline()) {
        Ok(bytes) => Ok(Some(bytes.to_vec())),
        Err(TranscodeError::NotRepresentable(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
