//! Our DICOM JSON against the elements as pydicom reads them.
//!
//! Documented differences: texts are told to be UTF-8 (PS3.18, F.2); Available Transfer Syntax UID is added; Pixel
//! Data and what stands behind it are not in the text.

use ingest::dicom_json::{URL_PLACE, data_set};
use serde_json::{Map, Value};

use crate::reference::{Foreign, Reference};

/// What we say ourselves, or leave out.
const OWN: [&str; 2] = ["00080005", "00083002"];
/// The first element that is no metadata.
const PIXELS_FROM: &str = "7FE00000";

/// Whether every element has pydicom's VR and value, and there is no other.
pub fn compared(reference: &Reference, file: &Foreign) -> Result<(), String> {
    let Some(Value::Object(known)) = reference.metadata(file) else { return Ok(()) };
    let object = reference.object(file).map_err(|error| error.to_string())?;
    let text = data_set(object.header(), object.transfer_syntax(), None);
    let text: Vec<u8> = text.into_iter().map(|byte| if byte == URL_PLACE { b'/' } else { byte }).collect();
    let Value::Object(ours) = serde_json::from_slice(&text).unwrap() else { return Err("no object".into()) };
    same_items(&ours, &known, "")
}

fn same_items(ours: &Map<String, Value>, known: &Map<String, Value>, place: &str) -> Result<(), String> {
    let counts =
        |key: &&String| !OWN.contains(&key.as_str()) && (!place.is_empty() || key.as_str() < PIXELS_FROM);
    for key in known.keys().filter(counts) {
        let place = format!("{place}/{key}");
        let ours = ours.get(key).ok_or_else(|| format!("{place} is missing"))?;
        same_element(ours, &known[key], &place)?;
    }
    match ours.keys().filter(counts).find(|key| !known.contains_key(*key)) {
        Some(key) => Err(format!("{place}/{key} is not in the file")),
        None => Ok(()),
    }
}

fn same_element(ours: &Value, known: &Value, place: &str) -> Result<(), String> {
    if ours["vr"] != known["vr"] {
        return Err(format!("{place} has VR {} instead of {}", ours["vr"], known["vr"]));
    }
    if let Some(error) = known.get("error") {
        // pydicom reads the element and finds no JSON for its value
        return if ours.get("Value").is_some() { Ok(()) } else { Err(format!("{place}: {error}")) };
    }
    if let Some(bytes) = known.get("bytes") {
        let inline = ours["InlineBinary"].as_str().map_or(0, |text| {
            text.len() / 4 * 3 - text.bytes().rev().take_while(|byte| *byte == b'=').count()
        });
        let is_same = ours.get("BulkDataURI").is_some() || bytes.as_u64().unwrap_or(0) == inline as u64;
        return if is_same { Ok(()) } else { Err(format!("{place} has {inline} bytes instead of {bytes}")) };
    }
    let values = |of: &Value| of["Value"].as_array().cloned().unwrap_or_default();
    let (ours, known) = (values(ours), values(known));
    if ours.len() != known.len() {
        return Err(format!("{place} has {} values instead of {}", ours.len(), known.len()));
    }
    for (index, (ours, known)) in ours.iter().zip(&known).enumerate() {
        match (ours, known) {
            (Value::Object(ours), Value::Object(known)) if !ours.contains_key("Alphabetic") => {
                same_items(ours, known, &format!("{place}/{index}"))?;
            }
            _ if same_value(ours, known) => {}
            _ => return Err(format!("{place} is {ours} instead of {known}")),
        }
    }
    Ok(())
}

/// Numbers are the same whatever digits write them; an empty text is no value.
fn same_value(ours: &Value, known: &Value) -> bool {
    match (ours.as_f64(), known.as_f64()) {
        // of FL the shortest digits that read back as the same
        (Some(ours), Some(known)) => ours == known || ours as f32 == known as f32,
        _ => ours == known || ours.is_null() && known == "",
    }
}
