use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use models::Registry;
use ndarray::ArrayD;

use crate::backend::Outputs;
use crate::{BlockedBackend, InferenceBackend};

/// What a network of the box answers to a made image.
fn answer(backend: &BlockedBackend, name: &str) -> Outputs {
    let registry = Registry::built_in();
    let card = registry.get(name).unwrap();
    let network = backend.load(card, &registry.weights(card).unwrap()).unwrap();
    let image =
        ArrayD::from_shape_fn(card.input.shape.as_slice(), |at| ((at[2] * 7 + at[3]) % 13) as f32 / 13.0);
    network.run(image.view()).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn only_file(folder: &Path) -> PathBuf {
    let [file] = <[PathBuf; 1]>::try_from(files(folder)).expect("one network, one file");
    file
}

#[test]
fn a_network_is_packed_once_and_answers_the_same_bits_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = BlockedBackend::default().with_packed_weights_in(folder.path());
    let wanted = answer(&BlockedBackend::default(), "pneumonia224");
    assert_eq!(answer(&keeping, "pneumonia224"), wanted);
    let made = fs::metadata(only_file(folder.path())).unwrap().ino();
    assert_eq!(answer(&keeping, "pneumonia224"), wanted);
    assert_eq!(fs::metadata(only_file(folder.path())).unwrap().ino(), made, "it was not written again");

    answer(&keeping.exact(), "pneumonia224");
    assert_eq!(files(folder.path()).len(), 2, "plain sums are packed otherwise");
}

#[test]
fn a_file_that_is_cut_foreign_or_of_another_version_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = BlockedBackend::default().with_packed_weights_in(folder.path());
    let wanted = answer(&keeping, "pneumonia28");
    let path = only_file(folder.path());
    let sound = fs::read(&path).unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    answer(&BlockedBackend::default().with_packed_weights_in(elsewhere.path()), "breast28");
    let foreign = fs::read(only_file(elsewhere.path())).unwrap();
    let changed = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    let len = sound.len();
    for (what, spoilt) in [
        ("empty", Vec::new()),
        ("cut", sound[..len / 2].to_vec()),
        ("without its beginning", sound[64..].to_vec()),
        ("a weight is another", changed(len / 2)),
        ("the table is another", changed(len - 60)),
        ("of another version", changed(len - 32)),
        ("another network's", foreign),
    ] {
        assert_ne!(spoilt, sound);
        fs::write(&path, spoilt).unwrap();
        assert_eq!(answer(&keeping, "pneumonia28"), wanted, "{what}");
        assert!(fs::read(&path).unwrap() == sound, "{what}: it is sound again");
    }
}

#[test]
fn those_who_pack_a_network_at_the_same_time_leave_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = BlockedBackend::default().with_packed_weights_in(folder.path());
    let answers: Vec<Outputs> = std::thread::scope(|scope| {
        let one = || scope.spawn(|| answer(&keeping, "pneumonia224"));
        let all = [(); 3].map(|()| one());
        all.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|it| *it == answers[0]));
    only_file(folder.path());
    assert_eq!(answer(&keeping, "pneumonia224"), answers[0], "what was renamed last is whole");
}

#[test]
fn where_nothing_can_be_kept_a_network_runs_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("no").join("folder");
    let keeping = BlockedBackend::default().with_packed_weights_in(&nowhere);
    assert_eq!(answer(&keeping, "breast28"), answer(&BlockedBackend::default(), "breast28"));
    assert!(!nowhere.exists() && files(folder.path()).is_empty());
}

#[test]
fn the_oldest_files_go_and_what_was_left_unfinished() {
    let folder = tempfile::tempdir().unwrap();
    for (name, len) in [("old.packed", 9_u64 << 30), ("left", 10)] {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_len(len).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    File::create(folder.path().join("at work")).unwrap();
    answer(&BlockedBackend::default().with_packed_weights_in(folder.path()), "breast28");
    let mut left = files(folder.path());
    left.retain(|path| path.file_name().unwrap() != "at work");
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(!left[0].ends_with("old.packed"));
}
