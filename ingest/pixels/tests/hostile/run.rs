//! Thousands of malformed files, and what fuzzing has kept.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clinical::imaging::{DecodeRequest, FrameSelection};
use part10::{Limits, Part10};
use pixels::{DecodePool, PixelLimits, PoolSettings, decode};

use crate::malformed::Generator;
use crate::readers;

/// Files of the run; another seed by hand finds others.
const FILES: usize = 3_000;
const SEED: u64 = 20_261_121;
/// What one frame may cost, and how many of a file are asked for.
const FRAME: Duration = Duration::from_secs(10);
const FRAMES: u32 = 2;
/// This process: the file, a frame and what it is made of.
const MOST_RESIDENT: u64 = 1 << 30;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files_of(path: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|it| it.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()).collect()
}

/// The golden images, and the ten that break other readers.
fn good() -> Vec<Vec<u8>> {
    let mut good = files_of(&folder("tests/golden"));
    good.extend(files_of(&folder("../../tests/hostile")));
    good.retain(|bytes| bytes.get(128..132) == Some(b"DICM"));
    good
}

/// Two children that share 768 MiB.
fn pool() -> DecodePool {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/decode_child");
    assert!(program.exists(), "build the examples first: cargo test -p pixels");
    DecodePool::new(PoolSettings {
        program,
        arguments: Vec::new(),
        children: 2,
        memory_bytes: 768 << 20,
        frame_timeout: FRAME,
        idle: Duration::from_secs(60),
    })
}

/// Reads, decodes and paints; says how far it came.
fn outcome(bytes: Vec<u8>, pool: &DecodePool) -> &'static str {
    let Ok(object) = Part10::read(bytes.into(), &Limits::default()) else { return "refused" };
    let request = DecodeRequest { frames: FrameSelection::Spread(FRAMES), least_size: None };
    let Ok(frames) = decode(&object, &request, &PixelLimits::default(), pool) else { return "undecoded" };
    match frames.iter().all(|frame| pixels::render(frame, &readers::AS_STORED).is_ok()) {
        true => "painted",
        false => "unpainted",
    }
}

/// The most bytes that this process has had in memory; Linux tells it.
fn most_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|it| it.parse::<u64>().ok()).unwrap_or(0) * 1_024
}

#[test]
fn thousands_of_malformed_files_end_in_an_answer() {
    let pool = pool();
    let mut generator = Generator::new(SEED, good());
    let mut answers = std::collections::BTreeMap::<_, usize>::new();
    for number in 0..FILES {
        let file = generator.file();
        let begun = Instant::now();
        let answered = std::panic::catch_unwind(|| outcome(file.bytes, &pool));
        let Ok(answer) = answered else { panic!("file {number} ({}) panicked", file.what) };
        let most = FRAME * (FRAMES + 1);
        assert!(begun.elapsed() < most, "file {number} ({}) took {:?}", file.what, begun.elapsed());
        *answers.entry((file.what, answer)).or_default() += 1;
        assert!(
            most_resident() < MOST_RESIDENT,
            "file {number} ({}) took {} bytes",
            file.what,
            most_resident()
        );
    }
    // every kind was made, and what is no fault is read
    let of = |what, answer| answers.get(&(what, answer)).copied().unwrap_or(0);
    assert!(of("an executable preamble", "painted") > 0, "{answers:?}");
    assert!(of("another group 2", "painted") > 0, "{answers:?}");
    assert!(of("boundary text in pixels", "painted") > 0, "{answers:?}");
    for harmless in ["a length past the end", "4 GiB declared", "nested without end"] {
        assert_eq!(of(harmless, "painted"), 0, "{harmless}: {answers:?}");
    }
}

/// `fuzz/corpus`: what fuzzing has kept, one folder a target.
#[test]
fn the_kept_corpora_end_in_an_answer() {
    for (target, read) in readers::TARGETS {
        let kept = files_of(&folder("../../fuzz/corpus").join(target));
        assert!(!kept.is_empty(), "{target} has a corpus");
        for bytes in kept {
            let begun = Instant::now();
            read(&bytes);
            assert!(begun.elapsed() < FRAME, "{target}");
        }
    }
}
