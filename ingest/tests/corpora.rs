//! What fuzzing has kept of the doors' readers; `ingest/pixels/tests/hostile` replays the readers of files.

#[cfg(test)]
#[path = "../../fuzz/src/doors.rs"]
mod doors;

#[cfg(test)]
use ingest::stow;

/// `fuzz/corpus`: one folder a target.
#[test]
fn the_kept_corpora_end_in_an_answer() {
    for (target, read) in doors::TARGETS {
        let folder = format!("{}/../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let kept: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
        assert!(!kept.is_empty(), "{target} has a corpus");
        for path in kept {
            read(&std::fs::read(path).unwrap());
        }
    }
}
