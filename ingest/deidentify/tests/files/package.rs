//! The table against PyPI `dicom-anonymizer`, row by row.

use std::process::Command;

use dicom_core::header::Tag;

use crate::table::rows;

const SCRIPT: &str = "
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector as select
codes = {'D_TAGS': 'D', 'Z_TAGS': 'Z', 'X_TAGS': 'X', 'U_TAGS': 'U', 'Z_D_TAGS': 'Z/D', 'X_Z_TAGS': 'X/Z',
         'X_D_TAGS': 'X/D', 'X_Z_D_TAGS': 'X/Z/D', 'X_Z_U_STAR_TAGS': 'X/Z/U*'}
for name, tags in select('dicomfields_2026c').items():
    for tag in tags if name in codes else []:
        print('-'.join('%04X' % number for number in tag), codes[name])
";

/// Curves, overlay comments, overlay data: by group in the code, by mask in the package.
const BY_MASK: [&str; 3] = ["5000-0000-FF00-0000 X", "6000-4000-FF00-FFFF X", "6000-3000-FF00-FFFF X"];

#[test]
fn our_table_is_the_packages_in_full() {
    #[expect(clippy::disallowed_methods, reason = "`./test` says where its Python is")]
    let python = std::env::var("MEDILINK_TEST_PYTHON").expect("./test sets MEDILINK_TEST_PYTHON");
    let output = Command::new(python).args(["-c", SCRIPT]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (mut theirs, masks): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.matches('-').count() == 1);
    let mut ours: Vec<String> = rows()
        .into_iter()
        .map(|(Tag(group, element), code, _)| format!("{group:04X}-{element:04X} {code}"))
        .collect();
    theirs.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, theirs);
    assert_eq!(masks, BY_MASK);
}
