//! A disk that fills up: nothing acknowledged is lost, and all goes on once there is space again.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::images::Image;
use crate::support::server::{Engine, Server};

/// What takes up the disk until it is removed.
const FILLER_BYTES: usize = 12 << 20;

/// A file system of its own in memory; only root mounts one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0777");
        as_root(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", folder.path().to_str().unwrap()]);
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        as_root(&["umount", "--lazy", self.path().to_str().unwrap()]);
    }
}

fn as_root(words: &[&str]) {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = if is_root { Command::new(words[0]) } else { Command::new("sudo") };
    let done = command.args(&words[usize::from(is_root)..]).status().unwrap();
    assert!(done.success(), "{words:?}");
}

fn image(seed: u32) -> Image {
    let mut image = Image::ct(seed);
    image.size = (512, 512);
    image.pixels = (0..512_u32 * 512).map(|index| (index.wrapping_mul(seed | 1) >> 5) as u8).collect();
    image
}

/// Fills the disk through both doors until each refuses; gives what was acknowledged.
fn fill(server: &Server) -> Vec<Image> {
    let mut acknowledged = Vec::new();
    let mut refusals = 0;
    for seed in 0..400 {
        let image = image(seed);
        let answer = if seed % 2 == 0 {
            server.upload("a.dcm", image.file()).unwrap()
        } else {
            server.stow(&[image.file()]).unwrap()
        };
        match answer.status().as_u16() {
            200 => acknowledged.push(image),
            507 => refusals += 1,
            status => panic!("{status}: {}\n{}", answer.text().unwrap(), server.log()),
        }
        if refusals == 6 {
            return acknowledged;
        }
    }
    panic!("the disk never filled up");
}

fn goes_on_after(server: &mut Server, disk: &SmallDisk) {
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![7; FILLER_BYTES]).unwrap();
    let mut acknowledged = fill(server);
    assert!(acknowledged.len() > 3, "{}", acknowledged.len());
    assert_eq!(server.get("/health").send().unwrap().status(), 200);
    std::fs::remove_file(filler).unwrap();
    let since = Instant::now();
    loop {
        let image = image(10_000 + acknowledged.len() as u32);
        if server.upload("a.dcm", image.file()).unwrap().status() == 200 {
            acknowledged.push(image);
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(5), "space is back, and nothing is taken");
        std::thread::sleep(Duration::from_millis(100));
    }
    for _ in 0..2 {
        for image in &acknowledged {
            let stored = server.retrieve(&image.wado()).expect("it was acknowledged");
            assert!(stored == image.file());
        }
        server.kill();
        server.resume();
    }
}

#[test]
fn an_archive_without_space_loses_nothing_and_recovers() {
    let disk = SmallDisk::mount("24m");
    let archive = disk.path().join("archive").display().to_string();
    let mut server = Server::start_with(
        Engine::Sqlite,
        &[("MEDILINK_ARCHIVE_URL", &archive), ("MEDILINK_DISK_WATERMARK_BYTES", "0")],
    );
    goes_on_after(&mut server, &disk);
}

#[test]
fn a_database_without_space_loses_nothing_and_recovers() {
    let disk = SmallDisk::mount("32m");
    let archive = disk.path().join("archive").display().to_string();
    let database = format!("sqlite:{}", disk.path().join("rows.sqlite").display());
    let settings = [
        ("MEDILINK_ARCHIVE_URL", archive.as_str()),
        ("MEDILINK_DATABASE_URL", &database),
        ("MEDILINK_DISK_WATERMARK_BYTES", "0"),
    ];
    let mut server = Server::start_with(Engine::Sqlite, &settings);
    goes_on_after(&mut server, &disk);
}

#[test]
fn before_the_disk_is_full_it_is_refused_politely() {
    let disk = SmallDisk::mount("32m");
    let archive = disk.path().join("archive").display().to_string();
    let settings = [("MEDILINK_ARCHIVE_URL", archive.as_str()), ("MEDILINK_DISK_WATERMARK_BYTES", "8388608")];
    let mut server = Server::start_with(Engine::Sqlite, &settings);
    goes_on_after(&mut server, &disk);
}
