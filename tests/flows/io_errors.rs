//! A disk that answers EIO: nothing is acknowledged that may be lost, and all goes on once it answers well again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::images::{Image, fresh_uid};
use crate::support::server::{Engine, Server, output, wait_for};

/// Lets calls of the running program fail with EIO until it is dropped.
struct Failing(Child);

impl Failing {
    /// These calls, or only those about `path`.
    fn calls(server: &Server, calls: &str, path: Option<&Path>) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-p", &server.pid().to_string(), "-o", "/dev/null"]);
        strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error=EIO")]);
        if let Some(path) = path {
            strace.arg("-P").arg(path);
        }
        let failing = Self(strace.stderr(Stdio::null()).spawn().expect("./test installs strace"));
        let is_traced = |status: PathBuf| {
            // A thread that has just ended is traced by nobody.
            std::fs::read_to_string(status).is_ok_and(|text| !text.contains("TracerPid:\t0"))
        };
        wait_for("strace", || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
            threads.flatten().all(|thread| is_traced(thread.path().join("status"))).then_some(())
        });
        failing
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        let told = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()));
        // Detached from every thread when it has ended.
        let _ = self.0.wait();
    }
}

fn by_c_store(server: &Server, image: &Image) -> bool {
    let file = server.data.path().join("one.dcm");
    std::fs::write(&file, image.file()).unwrap();
    let (_, said) = output(&mut server.storescu(&[file]));
    said.contains("Received Store Response (Success)")
}

fn by_stow(server: &Server, image: &Image) -> bool {
    server.stow(&[image.file()]).unwrap().status() == 200
}

fn by_upload(server: &Server, image: &Image) -> bool {
    server.upload("one.dcm", image.file()).unwrap().status() == 200
}

type Door = fn(&Server, &Image) -> bool;
const DOORS: [Door; 3] = [by_c_store, by_stow, by_upload];

#[test]
fn what_the_disk_has_not_kept_is_not_acknowledged() {
    let mut server = Server::start(Engine::Sqlite);
    let first = Image::ct(1);
    assert!(by_stow(&server, &first));
    let archive = server.data.path().join("archive");
    let found =
        Command::new("find").arg(&archive).args(["-name", &format!("{}*", first.sop)]).output().unwrap();
    let blob = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
    let folder = blob.parent().expect("a blob lies in the folder of its series");
    let rows = server.data.path().join("medilink.sqlite-wal");
    let pid = server.pid();
    let mut acknowledged = vec![first.clone()];
    for (what, calls, path) in [
        ("fsync of the file", "fsync,fdatasync", None),
        ("rename", "rename,renameat,renameat2,link,linkat", None),
        ("fsync of the folder", "fsync,fdatasync", Some(folder)),
        ("writing of the rows", "pwrite64", Some(&*rows)),
        ("fsync of the rows", "fsync,fdatasync", Some(&*rows)),
    ] {
        let image = || Image { sop: fresh_uid(), ..first.clone() };
        let images = DOORS.map(|_| image());
        let failing = Failing::calls(&server, calls, path);
        for (number, (door, image)) in DOORS.iter().zip(&images).enumerate() {
            assert!(!door(&server, image), "{what} failed, and door {number} has acknowledged");
        }
        assert_eq!(server.get("/health").send().unwrap().status(), 200);
        drop(failing);
        for (number, (door, image)) in DOORS.iter().zip(&images).enumerate() {
            wait_for("the disk to answer", || door(&server, image).then_some(()));
            assert!(server.retrieve(&image.wado()).is_some(), "after {what}, door {number}");
        }
        acknowledged.extend(images);
    }
    assert_eq!(server.pid(), pid);
    server.kill();
    server.resume();
    for image in &acknowledged {
        let stored = server.retrieve(&image.wado()).expect("it was acknowledged");
        assert!(stored.ends_with(&image.file()[1_000..]), "byte for byte");
    }
}
