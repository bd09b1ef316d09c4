//! Every check of every file, and the list.

use std::collections::BTreeMap;

use crate::reference::Reference;
use crate::{hall, listed, metadata, pixels, transcoded};

/// File and check, and what was found.
pub type Failures = BTreeMap<(String, &'static str), String>;

#[test]
fn foreign_files_are_read_as_pydicom_reads_them() {
    let reference = Reference::made();
    let mut failures = Failures::new();
    for file in &reference.files {
        let outcomes = [
            ("metadata", metadata::compared(&reference, file)),
            ("pixels", pixels::compared(&reference, file)),
        ];
        for (check, outcome) in outcomes {
            if let Err(found) = outcome {
                failures.insert((file.name.clone(), check), found);
            }
        }
    }
    failures.extend(hall::stored(&reference));
    failures.extend(transcoded::compared(&reference));
    listed::assert_listed(&failures);
}
