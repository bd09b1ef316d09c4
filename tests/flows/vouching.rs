//! Storage commitment asked of an archive, and the program killed between the question and the report.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::images::Image;
use crate::support::server::{BOTH, Server, TOKEN, output};

/// It is asked again after a minute.
const WAIT: Duration = Duration::from_secs(150);

/// pynetdicom, which is forwarded to and reports when it is told to.
struct Archive {
    child: Child,
    tell: ChildStdin,
    said: Receiver<String>,
}

impl Archive {
    fn beside(server: &Server) -> Self {
        let mut command = Command::new(storage::testing::told_by_test("MEDILINK_TEST_PYTHON"));
        command.arg(format!("{}/tests/peers/slow_archive.py", env!("CARGO_MANIFEST_DIR")));
        command.args(["--dicom-port", &server.dicom.port().to_string(), "--ae-title", "MEDILINK"]);
        command.args(["--base-url", &server.url("/dicom-web"), "--token", TOKEN]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        let (hear, said) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| hear.send(line)));
        let archive = Self { child, tell, said };
        assert_eq!(archive.next(), "ready");
        archive
    }

    fn next(&self) -> String {
        self.said.recv_timeout(WAIT).expect("the archive says something")
    }

    /// Reports on the question that the archive has told of.
    fn report(&mut self, question: &str) {
        let transaction = question.split(' ').nth(1).unwrap();
        writeln!(self.tell, "report {transaction}").unwrap();
        assert_eq!(self.next(), "told 0000");
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kill_between_question_and_report(server: &mut Server) {
    // The archive has answered the question: only its report is waited for.
    std::thread::sleep(Duration::from_millis(700));
    server.kill();
    server.resume();
}

#[test]
fn a_report_after_a_kill_is_heard_and_without_one_it_is_asked_again() {
    std::thread::scope(|scope| {
        for engine in BOTH {
            scope.spawn(move || {
                let mut server = Server::start(engine);
                let mut archive = Archive::beside(&server);
                let ask = |server: &Server, seed| {
                    let (image, file) = (Image::ct(seed), server.data.path().join(format!("{seed}.dcm")));
                    std::fs::write(&file, image.file()).unwrap();
                    let (is_sent, log) = output(&mut server.storescu(&[file]));
                    assert!(is_sent, "{log}");
                    image.sop
                };
                let sop = ask(&server, 1);
                let question = archive.next();
                assert!(question.starts_with("asked ") && question.ends_with(&sop), "{question}");
                kill_between_question_and_report(&mut server);
                archive.report(&question);
                assert_eq!(server.count("forwards WHERE state = 'committed'"), 1, "{}", server.log());

                let sop = ask(&server, 2);
                let question = archive.next();
                assert!(question.ends_with(&sop), "{question}");
                kill_between_question_and_report(&mut server);
                assert_eq!(archive.next(), question, "the same question once more: {}", server.log());
                archive.report(&question);
                assert_eq!(server.count("forwards WHERE state = 'committed'"), 2, "{}", server.log());
            });
        }
    });
}
