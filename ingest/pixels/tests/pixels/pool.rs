//! The pool with real child processes, well and sick ones.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::golden;
use clinical::imaging::DecodeRequest;
use pixels::{DecodePool, PixelError, PixelLimits, PoolSettings, decode};

/// A program of `examples/`, which cargo builds beside the tests.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "build the examples first: cargo test -p pixels");
    path
}

fn settings(name: &str, arguments: &[&str]) -> PoolSettings {
    PoolSettings {
        program: program(name),
        arguments: arguments.iter().map(ToString::to_string).collect(),
        children: 1,
        memory_bytes: 512 << 20,
        frame_timeout: Duration::from_secs(20),
        idle: Duration::from_secs(60),
    }
}

fn outcome(pool: &DecodePool, name: &str) -> Result<usize, PixelError> {
    let frames = decode(&golden(name), &DecodeRequest::everything(), &PixelLimits::default(), pool)?;
    Ok(frames[0].samples.len())
}

#[test]
fn a_child_decodes_what_the_process_itself_would() {
    let pool = DecodePool::new(settings("decode_child", &[]));
    for name in
        ["jpeg2000_signed", "jpeg2000_rct", "htj2k_16", "jpegxl_rgb", "jpeg_baseline_ybr", "jpegls_grey"]
    {
        let request = DecodeRequest::everything();
        let by = |pool| decode(&golden(name), &request, &PixelLimits::default(), pool).unwrap();
        assert_eq!(by(&pool), by(&DecodePool::inline()), "{name}");
    }
    let refused = outcome(&pool, "jpeg2000_without_its_transform");
    assert_eq!(refused.unwrap_err().code(), "malformed-pixels");
    assert_eq!(
        outcome(&pool, "jpeg2000_rct").unwrap(),
        13 * 16 * 3,
        "an error of the image leaves the child well"
    );
}

#[test]
fn a_sick_child_costs_one_frame_and_the_next_has_a_fresh_one() {
    let folder = tempfile();
    for (how, code) in [("aborts", "codec-failed"), ("nonsense", "codec-failed"), ("ends", "codec-failed")] {
        let marker = folder.join(how);
        let pool = DecodePool::new(settings("sick_child", &[how, marker.to_str().unwrap()]));
        assert_eq!(outcome(&pool, "jpeg2000_rct").unwrap_err().code(), code, "{how}");
        assert_eq!(outcome(&pool, "jpeg2000_rct").unwrap(), 13 * 16 * 3, "{how}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_child_that_hangs_is_killed_in_time() {
    let timeout = Duration::from_millis(200);
    let pool = DecodePool::new(PoolSettings { frame_timeout: timeout, ..settings("sick_child", &["hangs"]) });
    let start = Instant::now();
    assert_eq!(outcome(&pool, "jpegxl_rgb").unwrap_err().code(), "codec-timeout");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_program_that_is_not_there_is_an_error_every_time() {
    let mut settings = settings("decode_child", &[]);
    settings.program = PathBuf::from("/nowhere/at/all");
    let pool = DecodePool::new(settings);
    for _ in 0..3 {
        assert_eq!(outcome(&pool, "jpegxl_rgb").unwrap_err().code(), "no-decoder");
    }
    assert_eq!(outcome(&pool, "jpegls_grey").unwrap(), 13 * 16, "our own decoders need no child");
}

/// A share of memory that no decoder can live on ends the child, not the test.
#[test]
fn a_child_without_memory_is_an_error_of_the_frame() {
    let pool = DecodePool::new(PoolSettings { memory_bytes: 1 << 10, ..settings("decode_child", &[]) });
    assert_eq!(outcome(&pool, "jpeg2000_rct").unwrap_err().code(), "codec-failed");
}

/// Also where two frames together would need more memory than there is.
#[test]
fn more_callers_than_children_or_memory_wait_their_turn() {
    for memory_bytes in [512 << 20, 65 << 20] {
        let pool =
            DecodePool::new(PoolSettings { children: 2, memory_bytes, ..settings("decode_child", &[]) });
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope
                    .spawn(|| (0..5).for_each(|_| assert_eq!(outcome(&pool, "jpegxl_12").unwrap(), 13 * 16)));
            }
        });
    }
}

/// Linux lists the children of this process under `/proc`.
#[cfg(target_os = "linux")]
#[test]
fn an_idle_child_ends_and_a_later_frame_starts_another() {
    let idle = Duration::from_millis(100);
    let pool = DecodePool::new(PoolSettings { idle, ..settings("decode_child", &["idle-test"]) });
    let running = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
            .filter(|command| command.ends_with(b"decode_child\0idle-test\0"))
            .count()
    };
    assert_eq!(outcome(&pool, "jpegxl_12").unwrap(), 13 * 16);
    assert_eq!(running(), 1);
    let start = Instant::now();
    while running() > 0 && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(running(), 0);
    assert_eq!(outcome(&pool, "jpegxl_12").unwrap(), 13 * 16);
}

/// A fresh folder for this process.
fn tempfile() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pixels-pool-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    folder
}
