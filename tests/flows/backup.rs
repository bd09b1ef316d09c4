//! A backup that is made while the program works holds everything, and gives everything back or nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use storage::db::{Db, built_sql};
use tempfile::TempDir;

use crate::support::images::Image;
use crate::support::server::{Engine, Server, output, program};

type Rows = BTreeMap<String, Vec<String>>;
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// So many instances are there before.
const BEFORE: u32 = 12;

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn backup(server: &Server, target: &Path) -> (bool, String) {
    output(server.command().args(["backup", path(target)]))
}

fn restore(backup: &Path, data: &Path) -> (bool, String) {
    output(program().args(["restore", path(backup), "--data-dir", path(data)]))
}

/// Every row of every table, each as SQLite writes its values; of a file that nobody uses.
fn rows(database: &Path) -> Rows {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let db = Db::open(&format!("sqlite:{}", database.display())).await.unwrap();
        let mut read = db.read().await.unwrap();
        let texts =
            async |read: &mut _, text: String| built_sql(text).fetch_all::<String>(read).await.unwrap();
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
        let mut all = Rows::new();
        for table in texts(&mut read, tables.to_owned()).await {
            let columns = texts(&mut read, format!("SELECT name FROM pragma_table_info('{table}')")).await;
            let values: Vec<String> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
            let row = values.join(" || ',' || ");
            let text = format!("SELECT {row} AS one FROM \"{table}\" ORDER BY one");
            all.insert(table, texts(&mut read, text).await);
        }
        drop(read);
        db.close().await;
        all
    })
}

/// Every file below `folder`.
fn files(folder: &Path) -> Files {
    let mut all = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

fn store(server: &Server, seed: u32) -> Image {
    let image = Image::ct(seed);
    assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200, "{}", server.log());
    image
}

/// Sends one instance after another until told to stop.
fn keep_storing(server: &Server, is_over: &AtomicBool, stored: &Mutex<Vec<Image>>) {
    for seed in BEFORE.. {
        if is_over.load(Ordering::Acquire) {
            return;
        }
        let image = store(server, seed);
        stored.lock().unwrap().push(image);
    }
}

#[test]
fn what_is_backed_up_while_instances_come_in_comes_back_row_by_row_and_byte_by_byte() {
    comes_back(Server::start(Engine::Sqlite));
}

#[test]
fn sealed_blobs_come_back_with_the_keys_that_open_them() {
    comes_back(Server::start_with(Engine::Sqlite, &[("MEDILINK_SEAL_BLOBS", "true")]));
}

fn comes_back(mut server: Server) {
    let place = tempfile::tempdir().unwrap();
    let (busy, quiet) = (place.path().join("busy"), place.path().join("quiet"));
    let before: Vec<Image> = (0..BEFORE).map(|seed| store(&server, seed)).collect();
    std::fs::create_dir_all(server.data.path().join("networks/notes")).unwrap();
    for (name, text) in [("token", "the token"), ("networks/notes/why", "notes")] {
        std::fs::write(server.data.path().join(name), text).unwrap();
    }

    let (is_over, during) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (is_well, text, came) = std::thread::scope(|scope| {
        scope.spawn(|| keep_storing(&server, &is_over, &during));
        let (is_well, text) = backup(&server, &busy);
        let came = during.lock().unwrap().len();
        is_over.store(true, Ordering::Release);
        (is_well, text, came)
    });
    assert!(is_well && text.contains("token and the keys"), "{text}");
    assert!(came > 0, "instances came in meanwhile");
    assert!(server.stop());
    let (is_well, text) = backup(&server, &quiet);
    assert!(is_well, "{text}");
    let live_rows = rows(&server.data.path().join("medilink.sqlite"));
    let live_blobs = files(&server.data.path().join("archive/clinics"));

    // Of the busy hour: whatever was acknowledged before, and every blob of every row.
    let restored = tempfile::tempdir().unwrap();
    let (is_well, text) = restore(&busy, restored.path());
    assert!(is_well, "{text}");
    let busy_rows = rows(&restored.path().join("medilink.sqlite"));
    let busy_blobs = files(&restored.path().join("archive/clinics"));
    assert!(busy_rows["instances"].len() >= before.len());
    assert!(busy_rows["instances"].iter().all(|row| live_rows["instances"].contains(row)));
    assert_eq!(busy_blobs.len(), busy_rows["instances"].len(), "one blob a row, and no other");
    assert!(busy_blobs.iter().all(|(name, bytes)| live_blobs.get(name) == Some(bytes)));
    let kept = |name: &str| std::fs::read_to_string(restored.path().join(name)).unwrap();
    assert_eq!((kept("token").as_str(), kept("networks/notes/why").as_str()), ("the token", "notes"));
    let verify = ["audit", "verify", "--data-dir", path(restored.path())];
    let (is_well, text) = output(program().args(verify));
    assert!(is_well, "the signed heads are no newer than the trail: {text}");
    serves(&mut server, restored, &before);

    // Of the quiet hour: everything.
    let restored = tempfile::tempdir().unwrap();
    let (is_well, text) = restore(&quiet, restored.path());
    assert!(is_well, "{text}");
    let quiet_rows = rows(&restored.path().join("medilink.sqlite"));
    assert_eq!(quiet_rows.keys().collect::<Vec<_>>(), live_rows.keys().collect::<Vec<_>>());
    for (table, live) in &live_rows {
        assert!(&quiet_rows[table] == live, "{table} differs");
    }
    assert!(files(&restored.path().join("archive/clinics")) == live_blobs);
    serves(&mut server, restored, &[before, during.into_inner().unwrap()].concat());
}

/// The program serves what was restored.
fn serves(server: &mut Server, restored: TempDir, images: &[Image]) {
    server.data = restored;
    server.resume();
    for image in images {
        assert!(server.retrieve(&image.wado()).unwrap() == image.file());
    }
    assert!(server.stop());
}

#[test]
fn a_backup_that_is_not_whole_is_refused_by_the_names_of_what_is_damaged() {
    let server = Server::start(Engine::Sqlite);
    store(&server, 1);
    store(&server, 2);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("backup");
    let (is_well, text) = backup(&server, &target);
    assert!(is_well, "{text}");
    let sound = files(&target);
    let blobs: Vec<&PathBuf> = sound.keys().filter(|name| name.starts_with("archive/clinics")).collect();
    assert_eq!(blobs.len(), 2);

    let refused = |change: &dyn Fn(), named: &str| {
        change();
        let data = place.path().join("data");
        let (is_well, text) = restore(&target, &data);
        assert!(!is_well && text.contains(named), "{named}: {text}");
        let left = std::fs::read_dir(&data).map_or(0, Iterator::count);
        assert_eq!(left, 0, "nothing is left in place: {text}");
        for (name, bytes) in &sound {
            std::fs::write(target.join(name), bytes).unwrap();
        }
    };
    let write = |name: &Path, bytes: &[u8]| std::fs::write(target.join(name), bytes).unwrap();
    let flipped = |name: &Path| {
        let mut bytes = sound[name].clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let (manifest, database) = (Path::new("manifest.jsonl"), Path::new("medilink.sqlite"));
    refused(&|| write(blobs[0], &flipped(blobs[0])), path(blobs[0]));
    refused(&|| write(blobs[1], &sound[blobs[1]][1..]), path(blobs[1]));
    refused(&|| std::fs::remove_file(target.join(blobs[1])).unwrap(), path(blobs[1]));
    refused(&|| write(database, &flipped(database)), "medilink.sqlite");
    let text = String::from_utf8(sound[manifest].clone()).unwrap();
    let (shorter, _) = text.trim_end().rsplit_once('\n').unwrap();
    refused(&|| write(manifest, format!("{shorter}\n").as_bytes()), "cut off");
    let elsewhere = text.replacen("\"archive/", "\"../archive/", 1);
    refused(&|| write(manifest, elsewhere.as_bytes()), "leads elsewhere");
    let newer = text.replacen("\"schema\":", "\"schema\":9", 1);
    refused(&|| write(manifest, newer.as_bytes()), "newer medilink");
    refused(&|| std::fs::remove_file(target.join(manifest)).unwrap(), "no whole backup");

    let (is_well, text) = restore(&target, &place.path().join("data"));
    assert!(is_well, "sound again: {text}");
    let (is_well, text) = restore(&target, &place.path().join("data"));
    assert!(!is_well && text.contains("not empty"), "{text}");
}

#[test]
fn a_backup_goes_to_a_place_of_its_own_and_says_what_it_lacks() {
    let server = Server::start(Engine::Sqlite);
    store(&server, 1);
    std::fs::write(server.data.path().join("token"), "the token").unwrap();
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("backup");
    let (is_well, text) = output(server.command().args(["backup", path(&target), "--without-keys"]));
    assert!(is_well && text.contains("holds no keys"), "{text}");
    assert!(!target.join("token").exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(&target.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700, "its owner alone reads it");
    let (is_well, text) = backup(&server, &target);
    assert!(!is_well && text.contains("not empty"), "{text}");
    let (is_well, text) = backup(&server, &server.data.path().join("backup"));
    assert!(!is_well && text.contains("another place"), "{text}");

    // A blob that its row names is lost: the rest is saved, and the loss is told.
    let archive = server.data.path().join("archive");
    let lost = files(&archive).into_keys().find(|name| name.starts_with("clinics")).unwrap();
    std::fs::remove_file(archive.join(&lost)).unwrap();
    let target = place.path().join("with-loss");
    let (is_well, text) = backup(&server, &target);
    assert!(!is_well && text.contains(path(&lost)) && target.join("medilink.sqlite").exists(), "{text}");
    let (is_well, text) = restore(&target, &place.path().join("data"));
    assert!(is_well && text.contains(path(&lost)), "{text}");

    let mut elsewhere: Command = program();
    elsewhere
        .args(["backup", path(&place.path().join("never"))])
        .env("DATABASE_URL", "postgres://nobody@none/x");
    let (is_well, text) = output(&mut elsewhere);
    assert!(!is_well && text.contains("docs/backup.md"), "{text}");
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("partial")), "{left:?}");
}
