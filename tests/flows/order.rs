//! What the system sees before an instance is acknowledged, in order: by strace.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::images::Image;
use crate::support::server::{Engine, Server, wait_for};

/// Follows the program until it is told to stop; its calls as text.
struct Trace {
    strace: std::process::Child,
    path: PathBuf,
}

impl Trace {
    fn follow(server: &Server) -> Self {
        let path = server.data.path().join("trace");
        let calls = "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,writev,sendto,sendmsg";
        let strace = Command::new("strace")
            .args(["-f", "-y", "-s", "40", "-e", calls, "-p", &server.pid().to_string(), "-o"])
            .arg(&path)
            .stderr(Stdio::null())
            .spawn()
            .expect("./test installs strace");
        wait_for("strace", || {
            // attached once a request shows in it
            server.get("/health").send().unwrap();
            std::fs::read_to_string(&path).is_ok_and(|text| text.contains("HTTP/1.1 200")).then_some(())
        });
        Self { strace, path }
    }

    fn end(mut self) -> Vec<String> {
        let told = Command::new("kill").args(["-INT", &self.strace.id().to_string()]).status().unwrap();
        assert!(told.success());
        self.strace.wait().unwrap();
        let text = std::fs::read_to_string(&self.path).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// File, name, folder, row: each is on the disk before the next begins, and all of them before the answer.
#[test]
fn file_name_folder_and_row_are_durable_in_this_order_before_the_answer() {
    let server = Server::start(Engine::Sqlite);
    let first = Image::ct(1);
    // makes the folders of the study, so that the second shows its own alone
    assert_eq!(server.upload("first.dcm", first.file()).unwrap().status(), 200);
    let trace = Trace::follow(&server);
    let image = Image { sop: format!("{}.9", first.sop), ..Image::ct(3) };
    assert_eq!(server.upload("second.dcm", image.file()).unwrap().status(), 200);
    let calls = trace.end();
    let is_sync = |call: &str| call.contains("fsync(") || call.contains("fdatasync(");
    let is_move = |call: &str| call.contains("rename") || call.contains("link");
    let position = |what: &str, from: usize, is_it: &dyn Fn(&str) -> bool| {
        let found = calls[from..].iter().position(|call| is_it(call));
        from + found.unwrap_or_else(|| panic!("no {what} after call {from}:\n{}", calls.join("\n")))
    };
    let file = position("fsync of the blob", 0, &|call| is_sync(call) && call.contains(&image.sop));
    let name = position("rename of the blob", file, &|call| is_move(call) && call.contains(&image.sop));
    let folder = position("fsync of its folder", name, &|call| {
        is_sync(call) && call.contains("/archive/") && !call.contains(".dcm")
    });
    let row = position("fsync of the rows", folder, &|call| is_sync(call) && call.contains("sqlite-wal"));
    let answer = calls.iter().rposition(|call| call.contains("HTTP/1.1 200")).unwrap();
    assert!(row < answer, "{}", calls.join("\n"));
    let early = calls[file..row].iter().find(|call| call.contains("HTTP/1.1 200"));
    assert_eq!(early, None, "nothing is answered before");
}
