//! Acknowledged means durable: SIGKILL in the middle of receiving, from every door at once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use crate::support::images::Image;
use crate::support::server::{BOTH, Server, wait_for};

/// How often the process is killed, each time a little later than the last.
const ROUNDS: u64 = 6;
/// Instances for each door and round.
const INSTANCES: u32 = 40;

/// Acknowledged instances by where they are found.
type Acknowledged = Mutex<BTreeMap<String, Vec<u8>>>;

#[test]
fn every_acknowledged_instance_survives_a_kill() {
    for engine in BOTH {
        let mut server = Server::start(engine);
        let acknowledged = Acknowledged::default();
        for round in 0..ROUNDS {
            let doors: [fn(&Server, u64, &Acknowledged); 4] =
                [by_c_store, by_stow, by_upload, by_command_line];
            let pid = server.pid().to_string();
            std::thread::scope(|scope| {
                for door in doors {
                    let (server, acknowledged) = (&server, &acknowledged);
                    scope.spawn(move || door(server, round, acknowledged));
                }
                std::thread::sleep(Duration::from_millis(60 + 90 * round));
                assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
            });
            server.kill_reaped();
            server.resume();
        }
        let acknowledged = acknowledged.into_inner().unwrap();
        assert!(acknowledged.len() > 20, "the rounds were long enough to acknowledge {}", acknowledged.len());
        for (wado, data_set) in &acknowledged {
            let stored = server
                .retrieve(wado)
                .unwrap_or_else(|| panic!("{engine:?}: {wado} was acknowledged and is lost"));
            assert!(stored.ends_with(data_set), "{engine:?}: {wado} is not what was acknowledged");
        }
        no_orphan_stays(&mut server);
    }
}

/// After the sweep there are as many blobs as instances, none of which has versions here.
fn no_orphan_stays(server: &mut Server) {
    server.kill();
    server.make_blobs_old();
    server.resume();
    let instances = server.count("instances");
    wait_for("the sweep", || (server.blob_count() == instances).then_some(()));
}

/// The data set of a file: what stands behind its group 2, by the group's length.
fn data_set(file: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(file[140..144].try_into().unwrap());
    file[144 + length as usize..].to_vec()
}

fn images(round: u64, door: u32) -> Vec<Image> {
    (0..INSTANCES).map(|index| Image::ct(round as u32 * 1_000 + door * 100 + index)).collect()
}

fn written(server: &Server, name: &str, images: &[Image]) -> Vec<PathBuf> {
    let folder = server.data.path().join("sent").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let write = |(index, image): (usize, &Image)| {
        let path = folder.join(format!("{index:03}.dcm"));
        std::fs::write(&path, image.file()).unwrap();
        path
    };
    images.iter().enumerate().map(write).collect()
}

/// storescu tells of each response in the order of the files.
fn by_c_store(server: &Server, round: u64, acknowledged: &Acknowledged) {
    let images = images(round, 1);
    let files = written(server, &format!("scu-{round}"), &images);
    let mut scu = server.storescu(&files).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let responses = BufReader::new(scu.stdout.take().unwrap()).lines().map_while(Result::ok);
    let successes = responses.filter(|line| line.contains("Received Store Response (Success)")).count();
    scu.wait().unwrap();
    for image in &images[..successes] {
        acknowledged.lock().unwrap().insert(image.wado(), data_set(&image.file()));
    }
}

fn by_stow(server: &Server, round: u64, acknowledged: &Acknowledged) {
    for some in images(round, 2).chunks(4) {
        let files: Vec<_> = some.iter().map(Image::file).collect();
        let Ok(answer) = server.stow(&files) else { return };
        if answer.status() == 200 && answer.bytes().is_ok() {
            for image in some {
                acknowledged.lock().unwrap().insert(image.wado(), image.file());
            }
        }
    }
}

fn by_upload(server: &Server, round: u64, acknowledged: &Acknowledged) {
    for image in images(round, 3) {
        let Ok(answer) = server.upload("image.dcm", image.file()) else { return };
        if answer.status() == 200 {
            acknowledged.lock().unwrap().insert(image.wado(), image.file());
        }
    }
}

/// The command is a process of its own, which is killed as well; it acknowledges by ending well.
fn by_command_line(server: &Server, round: u64, acknowledged: &Acknowledged) {
    for (index, some) in images(round, 4).chunks(5).enumerate() {
        let files = written(server, &format!("cli-{round}-{index}"), some);
        let mut command = server.command();
        let mut child =
            command.arg("ingest").args(files).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if index % 3 == 2 {
            std::thread::sleep(Duration::from_millis(20 + 10 * round));
            child.kill().unwrap();
        }
        if child.wait().unwrap().success() {
            for image in some {
                acknowledged.lock().unwrap().insert(image.wado(), image.file());
            }
        }
    }
}
