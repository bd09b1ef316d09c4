//! The patients of the benchmark, as its CSV files have them.

use clinical::person::Sex;
use models::{ConditionIx, FindingIx};

use super::{DdxPlus, Patient};
use crate::evaluate::EvaluateError;

/// Which column holds what.
struct Columns {
    age: Option<usize>,
    sex: Option<usize>,
    diagnosis: usize,
    evidences: usize,
    initial: Option<usize>,
    differential: Option<usize>,
}

impl Columns {
    fn of(header: &csv::StringRecord) -> Result<Self, EvaluateError> {
        let plain = |name: &str| name.trim().to_lowercase().replace([' ', '-'], "_");
        let named = |names: &[&str]| header.iter().position(|name| names.contains(&plain(name).as_str()));
        let needed = |names: &[&str]| {
            let why = || format!("the header has no column {}", names.join(" or "));
            named(names).ok_or_else(|| EvaluateError::Row { row: 1, why: why() })
        };
        Ok(Self {
            age: named(&["age"]),
            sex: named(&["sex"]),
            diagnosis: needed(&["diagnosis", "pathology"])?,
            evidences: needed(&["evidences", "features"])?,
            initial: named(&["initial_evidence"]),
            differential: named(&["differential", "differential_diagnosis"]),
        })
    }
}

pub(super) fn read(world: &DdxPlus, text: &str) -> Result<Vec<Patient>, EvaluateError> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let wrong = |row: usize, why: String| EvaluateError::Row { row, why };
    let header = reader.headers().map_err(|error| wrong(1, error.to_string()))?;
    let columns = Columns::of(header)?;
    let mut patients = Vec::new();
    for (record, row) in reader.records().zip(2..) {
        let record = record.map_err(|error| wrong(row, error.to_string()))?;
        let cell = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default().trim();
        let diagnosis = cell(Some(columns.diagnosis));
        let diagnosis = world
            .condition(diagnosis)
            .ok_or_else(|| wrong(row, format!("the benchmark has no condition {diagnosis}")))?;
        let code = |code: &str| {
            world.evidence(code).ok_or_else(|| wrong(row, format!("the benchmark has no evidence {code}")))
        };
        let mut evidences =
            texts(cell(Some(columns.evidences))).map(code).collect::<Result<Vec<FindingIx>, _>>()?;
        evidences.sort_unstable();
        evidences.dedup();
        let initial = Some(cell(columns.initial)).filter(|text| !text.is_empty()).map(code).transpose()?;
        patients.push(Patient {
            age: cell(columns.age).parse().ok(),
            sex: match cell(columns.sex) {
                "M" | "m" | "male" => Sex::Male,
                "F" | "f" | "female" => Sex::Female,
                _ => Sex::Unknown,
            },
            diagnosis,
            evidences,
            initial,
            differential: differential(world, cell(columns.differential))
                .map_err(|name| wrong(row, format!("the benchmark has no condition {name}")))?,
        });
    }
    Ok(patients)
}

/// The texts of a list as Python writes it: `['E_48', "Crohn's"]`.
fn texts(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.find(['\'', '"'])?;
        let quote = rest[start..].chars().next()?;
        let inside = &rest[start + 1..];
        let end = inside.find(quote)?;
        rest = &inside[end + 1..];
        Some(&inside[..end])
    })
}

/// `[['Bronchitis', 0.19], …]`: each name with the number behind it.
fn differential(world: &DdxPlus, list: &str) -> Result<Vec<(ConditionIx, f32)>, String> {
    let mut found = Vec::new();
    for part in list.split('[').filter(|part| part.contains(['\'', '"'])) {
        let Some(name) = texts(part).next() else { continue };
        let at = world.condition(name).ok_or_else(|| name.to_owned())?;
        let number = part.rsplit(',').map(|text| text.trim_matches([' ', ']'])).find(|text| !text.is_empty());
        found.push((at, number.and_then(|text| text.parse().ok()).unwrap_or(0.0)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_python_writes_them() {
        let list = r#"['E_48', "Crohn's", 'E_54_@_V_161']"#;
        assert_eq!(texts(list).collect::<Vec<_>>(), ["E_48", "Crohn's", "E_54_@_V_161"]);
        assert_eq!(texts("[]").count(), 0);
        assert_eq!(texts("['open").count(), 0);
    }
}
