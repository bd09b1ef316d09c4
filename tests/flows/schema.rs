//! schemathesis: requests made from the description of the paths, good ones and broken ones.

use std::fmt::Write;
use std::process::Command;

use crate::support::server::{Engine, Server, TOKEN, output};

/// What is left out, each with its reason.
const LEFT_OUT: [&str; 3] = [
    // answers when an analysis is there, for which each request would wait
    "^/api/dicom/analyze/",
    // ends the very sign-in or changes the very keys that the run uses
    "^/api/v1/auth/keys/",
    // files of the page that shows the description
    "^/docs",
];

/// STOW-RS takes `multipart/related` (PS3.18, section 10.5), which the tool cannot write.
const NOT_WRITTEN: [&str; 2] = ["post_dicom_web_studies", "post_dicom_web_studies_study"];

/// Requests that fit their schema and may be refused all the same: which of them, and the rule no schema can tell.
/// Only this one check is off for them.
const RULED_BEYOND_SCHEMA: [(&str, &str, &str); 14] = [
    ("GET", "^/dicom-web/workitems$", "a key's value is such as its attribute may hold (PS3.6)"),
    ("GET", "^/wado$", "parameters depend on each other (PS3.18, section 9)"),
    ("POST", "^/api/dicom/upload$", "any bytes are a file, but few are DICOM"),
    ("POST", "^/api/v1/api-keys$", "scopes lie within the caller's rights, and keys end in the future"),
    ("POST", "^/api/v1/auth/password/reset$", "a password is none of those that everybody tries"),
    ("POST", "^/api/v1/users$", "who is at a place or has a record names one that is there"),
    ("POST", "^/api/v1/clinics$", "the time zone database says which names are time zones"),
    ("PATCH", "^/api/v1/clinics/\\{clinicId\\}$", "the time zone database says which names are time zones"),
    ("POST", "^/api/v1/patients$", "a name has a family or a given part; births lie in the last 130 years"),
    (
        "POST",
        "^/api/v1/patients/\\{patientId\\}/(allergies|conditions|medications|vitals)$",
        "members depend on each other: what has abated is not active",
    ),
    ("POST", "^/api/v1/webhooks$", "URLs lead to the public Internet, and names of events are known ones"),
    (
        "PATCH",
        "^/api/v1/webhooks/\\{id\\}$",
        "URLs lead to the public Internet, and names of events are known ones",
    ),
    ("PUT", "/communication/config$", "each channel has its own providers"),
    ("PUT", "/settings$", "JSON Schema takes 5.0 for an integer, our reader does not"),
];

/// The settings of the run: every check that the tool has is on, but for these. On the command line `--checks`
/// would switch them on again.
fn settings() -> String {
    let mut text =
        format!("hooks = {:?}\n", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/flows/schema_hooks.py"));
    // PS3.6 says which keywords are attributes; the tool would make up others.
    text.push_str("[parameters]\n\"query.includefield\" = \"all\"\n");
    // The header of the command line stands in for each that is left away; `ignored_auth` tries without it.
    text.push_str("[checks.missing_required_header]\nenabled = false\n");
    for (method, path, reason) in RULED_BEYOND_SCHEMA {
        write!(
            text,
            "[[operations]] # {reason}\ninclude-method = {method:?}\ninclude-path-regex = {path:?}\n\
             [operations.checks.positive_data_acceptance]\nenabled = false\n"
        )
        .expect("a text takes whatever is written to it");
    }
    text
}

#[test]
fn the_service_answers_as_its_description_says() {
    let server = Server::start_with(
        Engine::Sqlite,
        &[("MEDILINK_ADDRESS_REQUESTS_PER_MINUTE", "0"), ("MEDILINK_SIGN_INS_PER_MINUTE", "0")],
    );
    let python = storage::testing::told_by_test("MEDILINK_TEST_PYTHON");
    let program = std::path::Path::new(&python).with_file_name("st");
    let config = server.data.path().join("schemathesis.toml");
    std::fs::write(&config, settings()).unwrap();
    let mut run = Command::new(program);
    run.current_dir(server.data.path()).arg("--config-file").arg(config);
    run.args(["run", &server.url("/openapi.json"), "--header", &format!("Authorization: Bearer {TOKEN}")]);
    // One worker: CPython 3.11 fails now and then where two threads parse at once (python/cpython#106905).
    run.args(["--max-examples", "15", "--seed", "7", "--workers", "1", "--no-color"]);
    run.args(["--generation-database", "none", "--request-timeout", "20"]);
    for path in LEFT_OUT {
        run.args(["--exclude-path-regex", path]);
    }
    for operation in NOT_WRITTEN {
        run.args(["--exclude-operation-id", operation]);
    }
    let (is_well, text) = output(&mut run);
    assert!(is_well, "{text}\n{}", server.log());
}
