use super::*;

fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    push(&mut field, number, bytes);
    field
}

/// A network of one tensor `w` of four numbers, which lie as `place` says.
fn network(place: &[u8]) -> Vec<u8> {
    let tensor = [&[8, 4, 16, 1][..], &field(8, b"w"), place].concat();
    let graph = [field(5, &tensor), field(2, b"made")].concat();
    [&[8, 8][..], &field(7, &graph), &field(8, &[16, 13])].concat()
}

/// External data of these keys and values.
fn beside(entries: &[(&str, &str)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, &str)| {
        field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
    };
    [entries.iter().flat_map(entry).collect(), vec![14 << 3, 1]].concat()
}

const NUMBERS: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// A folder with `net/data/w.bin`, which holds the numbers after eight other bytes, and a file beside `net`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("net/data")).unwrap();
    fs::write(folder.path().join("net/data/w.bin"), [&[0; 8][..], &NUMBERS].concat()).unwrap();
    fs::write(folder.path().join("secret"), NUMBERS).unwrap();
    folder
}

#[test]
fn a_tensor_beside_a_network_is_brought_into_it() {
    let folder = folder();
    let net = folder.path().join("net");
    let place = beside(&[("location", "data/w.bin"), ("offset", "8"), ("length", "16"), ("checksum", "no")]);
    let wanted = network(&field(9, &NUMBERS));
    assert_eq!(gathered(network(&place), &net, 1 << 20).unwrap(), wanted);
    for path in ["./data/w.bin", "data/./w.bin", "././data//w.bin"] {
        let place = beside(&[("location", path), ("offset", "8"), ("length", "16")]);
        assert_eq!(gathered(network(&place), &net, 1 << 20).unwrap(), wanted, "{path}");
    }
    let to_the_end = beside(&[("location", "data/w.bin"), ("offset", "8")]);
    assert_eq!(gathered(network(&to_the_end), &net, 1 << 20).unwrap(), wanted);
    for whole in [wanted.clone(), b"<html>no network</html>".to_vec(), wanted[..9].to_vec(), Vec::new()] {
        assert_eq!(gathered(whole.clone(), &net, 1 << 20).unwrap(), whole, "as it is");
    }
}

#[test]
fn no_path_leads_out_of_the_networks_folder() {
    let folder = folder();
    let net = folder.path().join("net");
    let secret = folder.path().join("secret");
    std::os::unix::fs::symlink(&secret, net.join("link")).unwrap();
    std::os::unix::fs::symlink(folder.path(), net.join("up")).unwrap();
    for (path, why) in [
        (secret.to_str().unwrap(), "own folder"),
        ("../secret", "own folder"),
        ("data/../../secret", "own folder"),
        ("./../secret", "own folder"),
        ("data/./../../secret", "own folder"),
        ("..\\secret", "own folder"),
        (".\\data\\w.bin", "own folder"),
        ("", "own folder"),
        ("link", "a link leads"),
        ("./link", "a link leads"),
        ("up/secret", "a link leads"),
        ("nothing.bin", "does not read"),
        ("data", "it is no file"),
        (".", "it is no file"),
    ] {
        let refused = gathered(network(&beside(&[("location", path)])), &net, 1 << 20).unwrap_err();
        assert!(refused.why.contains(why), "{path}: {refused}");
        assert_eq!((refused.tensor.as_str(), refused.file.as_str()), ("w", path));
    }
}

#[test]
fn a_link_within_the_networks_folder_is_followed() {
    let folder = folder();
    let net = folder.path().join("net");
    std::os::unix::fs::symlink("data", net.join("latest")).unwrap();
    let place = beside(&[("location", "latest/w.bin"), ("offset", "8")]);
    assert_eq!(gathered(network(&place), &net, 1 << 20).unwrap(), network(&field(9, &NUMBERS)));
}

#[test]
fn a_file_swapped_for_a_link_once_it_is_checked_is_not_read() {
    for (swapped, link_to) in [("net/data/w.bin", "away/w.bin"), ("net/data", "away")] {
        let folder = folder();
        let (net, swapped) = (folder.path().join("net"), folder.path().join(swapped));
        fs::create_dir(folder.path().join("away")).unwrap();
        fs::write(folder.path().join("away/w.bin"), [0; 24]).unwrap();
        let onnx = network(&beside(&[("location", "data/w.bin"), ("offset", "8")]));
        let checked = pieces(&onnx, &net).unwrap().unwrap();
        fs::rename(&swapped, folder.path().join("before")).unwrap();
        std::os::unix::fs::symlink(folder.path().join(link_to), &swapped).unwrap();
        let refused = joined(&checked, &net, 1 << 20).unwrap_err();
        assert!(refused.why.contains("a link leads"), "{link_to}: {refused}");
    }
}

#[test]
fn what_a_tensor_asks_for_must_be_there_and_not_too_much() {
    let folder = folder();
    let net = folder.path().join("net");
    let ask = |offset: &str, length: &str, most| {
        let place = beside(&[("location", "data/w.bin"), ("offset", offset), ("length", length)]);
        gathered(network(&place), &net, most).map_err(|refused| refused.why)
    };
    assert!(ask("8", "17", 1 << 20).unwrap_err().contains("too few from byte 8 on"));
    assert!(ask("25", "0", 1 << 20).unwrap_err().contains("too few from byte 25 on"));
    let most = u64::MAX.to_string();
    assert!(ask(&most, &most, 1 << 20).unwrap_err().contains("too few"));
    assert!(ask("8", "16", 40).unwrap_err().contains("together they are larger than 40 bytes"));
    let as_it_is = network(&beside(&[("location", "data/w.bin"), ("offset", "eight")]));
    assert_eq!(gathered(as_it_is.clone(), &net, 1 << 20).unwrap(), as_it_is, "the loader refuses it");
}
