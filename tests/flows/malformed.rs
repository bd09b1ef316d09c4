//! Thousands of malformed files and protocol data units by every door: the service lives on, answers meanwhile, and
//! what it said it had stored can be read back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::images::Image;
use crate::support::malformed::Generator;
use crate::support::server::{Engine, Server};

const SEED: u64 = 4_000_021;
const FILES: usize = 20_000;
/// Files a STOW-RS request: one in so many goes by upload alone.
const A_REQUEST: usize = 40;
const PDUS: usize = 3_000;
/// The service with its decoding children.
const MOST_RESIDENT_MIB: u64 = 1_024;
const MOST_HEALTH: Duration = Duration::from_millis(250);

/// Resident memory of a process and its children in MiB, from /proc.
fn resident_mib(pid: u32) -> u64 {
    let of = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned));
        let kib = line.and_then(|line| line.split_whitespace().next().and_then(|it| it.parse::<u64>().ok()));
        kib.unwrap_or(0) / 1_024
    };
    let mut whole = of(&pid.to_string());
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        whole += children.split_whitespace().map(of).sum::<u64>();
    }
    whole
}

/// What was seen while the doors were busy.
#[derive(Default)]
struct Watched {
    health: Vec<Duration>,
    most_resident_mib: u64,
}

impl Watched {
    fn p99(&mut self) -> Duration {
        self.health.sort();
        self.health[self.health.len() * 99 / 100]
    }
}

/// Asks `/health` and measures memory until `is_over`.
fn watch(server: &Server, is_over: &AtomicBool) -> Watched {
    let mut watched = Watched::default();
    while !is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer = server.get("/health").send();
        assert!(answer.is_ok_and(|answer| answer.status() == 200), "/health does not answer");
        watched.health.push(asked.elapsed());
        watched.most_resident_mib = watched.most_resident_mib.max(resident_mib(server.pid()));
        std::thread::sleep(Duration::from_millis(20));
    }
    watched
}

/// The SOP Instance UIDs that an answer of STOW-RS says are stored, with the place of each.
fn stored(answer: &Value) -> Vec<String> {
    let sequence = |tag: &str| answer[tag]["Value"].as_array().cloned().unwrap_or_default();
    let urls = sequence("00081199")
        .into_iter()
        .filter_map(|it| it["00081190"]["Value"][0].as_str().map(str::to_owned));
    urls.collect()
}

/// What became of the files of one sender.
#[derive(Default)]
struct Sent {
    /// The places of those that were acknowledged.
    acknowledged: Vec<String>,
    /// How often each HTTP status came.
    statuses: BTreeMap<u16, usize>,
    /// What was wrong with them.
    kinds: BTreeSet<&'static str>,
}

/// A part of the files over one connection.
fn send(server: &Server, seed: u64, count: usize) -> Sent {
    let mut generator = Generator::new(seed, vec![Image::ct(1).file(), Image::ct(2).file()]);
    let mut sent = Sent::default();
    for _ in 0..count / A_REQUEST {
        let mut files: Vec<_> = (0..A_REQUEST).map(|_| generator.file()).collect();
        sent.kinds.extend(files.iter().map(|file| file.what));
        let alone = files.swap_remove(0).bytes;
        let files: Vec<_> = files.into_iter().map(|file| file.bytes).collect();
        let answer = server.stow(&files).unwrap();
        *sent.statuses.entry(answer.status().as_u16()).or_default() += 1;
        sent.acknowledged.extend(stored(&answer.json().unwrap_or_default()));
        let answer = server.upload("x.dcm", alone).unwrap();
        *sent.statuses.entry(answer.status().as_u16()).or_default() += 1;
    }
    sent
}

#[test]
fn twenty_thousand_malformed_files_leave_the_service_well() {
    let server = Server::start_with(
        Engine::Sqlite,
        &[("MEDILINK_INSTANCE_BYTES", "67108864"), ("MEDILINK_MACHINE_REQUESTS_PER_SECOND", "0")],
    );
    let is_over = AtomicBool::new(false);
    let (sent, mut watched) = std::thread::scope(|scope| {
        let server = &server;
        let watch = scope.spawn(|| watch(server, &is_over));
        let senders = [SEED, SEED + 1].map(|seed| scope.spawn(move || send(server, seed, FILES / 2)));
        let sent: Vec<_> = senders.into_iter().map(|it| it.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        (sent, watch.join().unwrap())
    });
    let mut of_each = BTreeMap::new();
    let mut read_back = 0;
    for Sent { acknowledged, statuses, kinds } in sent {
        assert!(kinds.len() >= 12, "of every kind: {kinds:?}");
        for (status, count) in statuses {
            *of_each.entry(status).or_insert(0) += count;
        }
        for place in acknowledged {
            let path = place.split_once("/dicom-web").map(|(_, path)| format!("/dicom-web{path}")).unwrap();
            assert!(server.retrieve(&path).is_some(), "{path} was acknowledged");
            read_back += 1;
        }
    }
    assert!(of_each.keys().all(|status| *status < 500), "{of_each:?}\n{}", server.log());
    assert!(read_back > 0 && of_each.values().sum::<usize>() == FILES / A_REQUEST * 2, "{of_each:?}");
    assert!(watched.most_resident_mib <= MOST_RESIDENT_MIB, "{} MiB", watched.most_resident_mib);
    assert!(watched.p99() <= MOST_HEALTH, "/health took {:?}", watched.p99());
}

/// Bytes that look like the begin of an association, changed at random.
struct Pdus(u64);

impl Pdus {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A-ASSOCIATE-RQ (PS3.8, section 9.3.2) with Verification, then a P-DATA-TF; a few bytes of both are others.
    fn next_pdu(&mut self) -> Vec<u8> {
        let mut request = vec![0, 1, 0, 0];
        request.extend_from_slice(b"MEDILINK        MALFORMED       ");
        request.extend_from_slice(&[0; 32]);
        let mut item = |kind: u8, content: &[u8]| {
            request.extend_from_slice(&[kind, 0]);
            request.extend_from_slice(&(content.len() as u16).to_be_bytes());
            request.extend_from_slice(content);
        };
        item(0x10, b"1.2.840.10008.3.1.1.1");
        item(0x20, b"\x01\0\0\0\x30\0\0\x111.2.840.10008.1.1\x40\0\0\x111.2.840.10008.1.2");
        item(0x50, b"\x51\0\0\x04\0\0\x40\0");
        let mut bytes = vec![1, 0];
        bytes.extend_from_slice(&(request.len() as u32).to_be_bytes());
        bytes.append(&mut request);
        let data: Vec<u8> = (0..self.next() % 200).map(|_| self.next() as u8).collect();
        bytes.extend_from_slice(&[4, 0]);
        bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&data);
        for _ in 0..1 + self.next() % 6 {
            let place = self.next() as usize % bytes.len();
            bytes[place] = self.next() as u8;
        }
        bytes
    }
}

#[test]
fn three_thousand_malformed_pdus_leave_the_listener_well() {
    let server = Server::start(Engine::Sqlite);
    let is_over = AtomicBool::new(false);
    let mut watched = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(&server, &is_over));
        let mut pdus = Pdus(SEED);
        for _ in 0..PDUS {
            let mut peer = TcpStream::connect(server.dicom).unwrap();
            peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            // A listener that has heard enough hangs up; what it says does not matter here.
            let _ = peer.write_all(&pdus.next_pdu());
            let _ = peer.read(&mut [0; 512]);
        }
        is_over.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    assert!(watched.most_resident_mib <= MOST_RESIDENT_MIB, "{} MiB", watched.most_resident_mib);
    assert!(watched.p99() <= MOST_HEALTH, "/health took {:?}", watched.p99());
    let mut echo = std::process::Command::new("/usr/bin/echoscu");
    echo.args(["-aec", "MEDILINK", "127.0.0.1", &server.dicom.port().to_string()]);
    assert!(echo.status().unwrap().success(), "{}", server.log());
}
