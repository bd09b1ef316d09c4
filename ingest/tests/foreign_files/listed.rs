//! The list of what fails, held against what failed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::run::Failures;

#[derive(Deserialize)]
struct List {
    failure: Vec<Listed>,
}

/// One known failure.
#[derive(Deserialize)]
struct Listed {
    file: String,
    /// `stored`, `metadata`, `pixels` or `transcoded`.
    check: String,
    reason: String,
}

/// Every failure is listed with a reason, and everything listed fails.
pub fn assert_listed(failures: &Failures) {
    let path = format!("{}/../tests/foreign_files.toml", env!("CARGO_MANIFEST_DIR"));
    let list: List = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let listed: BTreeMap<(String, &str), String> =
        list.failure.iter().map(|it| ((it.file.clone(), it.check.as_str()), it.reason.clone())).collect();
    let mut wrong = Vec::new();
    for ((file, check), found) in failures {
        match listed.get(&(file.clone(), *check)) {
            Some(reason) => assert!(reason.len() > 10, "{file}: a reason is a sentence"),
            None => wrong.push(format!("{check} of {file}: {found}")),
        }
    }
    for (file, check) in listed.keys() {
        if !failures.keys().any(|(name, kind)| name == file && kind == check) {
            wrong.push(format!("{check} of {file} is listed and does not fail"));
        }
    }
    assert!(wrong.is_empty(), "{} of the foreign files:\n{}", wrong.len(), wrong.join("\n"));
}
