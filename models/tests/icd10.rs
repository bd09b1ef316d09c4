//! Every code of a condition stands in the list of ICD-10-CM that somebody else keeps.

use std::io::Write;
use std::process::{Command, Stdio};

use models::Knowledge;

/// Prints each line of its input that is no code of ICD-10-CM.
const UNKNOWN_CODES: &str = "
import sys
import simple_icd_10_cm as icd
for code in sys.stdin.read().split():
    if not icd.is_valid_item(code):
        print(code)
";

#[test]
#[expect(clippy::disallowed_methods, reason = "./test says where its Python is")]
fn every_condition_carries_codes_that_exist() {
    let python = std::env::var("MEDILINK_TEST_PYTHON").expect("./test sets MEDILINK_TEST_PYTHON");
    let knowledge = Knowledge::built_in().unwrap();
    let mut codes: Vec<&str> =
        knowledge.conditions.iter().flat_map(|condition| &condition.icd10).map(String::as_str).collect();
    codes.push("Q99.99999");

    let mut child = Command::new(python)
        .args(["-c", UNKNOWN_CODES])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(codes.join("\n").as_bytes()).unwrap();
    let told = child.wait_with_output().unwrap();

    assert!(told.status.success(), "simple-icd-10-cm cannot be asked: run ./test once");
    assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "Q99.99999", "only the made-up code is unknown");
}
