//! Viewers that others wrote, in a browser, against the real program.

use std::process::Command;

use storage::testing::told_by_test;

use crate::support::images::Image;
use crate::support::server::{Engine, Server, TOKEN, output};

/// The published build of OHIF, as npm carries it, in headless Chromium.
#[test]
fn ohif_lists_a_study_and_paints_its_image() {
    let server = Server::start(Engine::Sqlite);
    let image = Image::child_chest("bacterial");
    assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200, "{}", server.log());
    let mut viewer = Command::new(told_by_test("MEDILINK_TEST_NODE"));
    viewer.arg(format!("{}/tests/peers/ohif.mjs", env!("CARGO_MANIFEST_DIR")));
    viewer.args(["--modules", &told_by_test("MEDILINK_TEST_NODE_MODULES")]);
    viewer.args(["--dist", &told_by_test("MEDILINK_TEST_OHIF"), "--base-url", &server.url("")]);
    viewer.args(["--token", TOKEN, "--study", &image.study, "--patient", "Ada"]);
    let (is_well, text) = output(&mut viewer);
    assert!(is_well, "{text}\n{}", server.log());
}
