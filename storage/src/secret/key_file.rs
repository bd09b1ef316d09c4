//! The key-encryption keys as text, and the file that holds them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{KEY_BYTES, Key, Plain, Result, SecretError, is_key_id};

/// So many keys are known at a time at most.
const KEYS: usize = 64;
/// The longest file of keys.
const FILE_BYTES: u64 = 16_384;

/// The keys of a text, in its order.
pub(super) fn read(text: &str) -> Result<Vec<Key>> {
    let mut keys: Vec<Key> = Vec::new();
    let parts = text.split([',', ' ', '\t', '\r', '\n']).map(str::trim).filter(|part| !part.is_empty());
    for (index, part) in parts.enumerate().take(KEYS) {
        let wrong = SecretError::KeyText(index + 1);
        let Some((id, key)) = part.split_once(':').filter(|(id, _)| is_key_id(id)) else { return Err(wrong) };
        if keys.iter().any(|known| known.id == id) {
            return Err(SecretError::KeyTwice(id.to_owned()));
        }
        match STANDARD.decode(key).map(Zeroizing::new) {
            Ok(bytes) if bytes.len() == KEY_BYTES => keys.push(Key::new(id.to_owned(), &bytes)?),
            _ => return Err(wrong),
        }
    }
    if keys.is_empty() { Err(SecretError::NoKey) } else { Ok(keys) }
}

/// The keys of a file that its owner alone can read.
pub(super) fn load(path: &Path) -> Result<Vec<Key>> {
    read(&text_of(path)?)
}

fn text_of(path: &Path) -> Result<Zeroizing<String>> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if about.mode() & 0o077 != 0 {
        return Err(SecretError::KeyFileOpen(path.display().to_string()));
    }
    let mut text = Zeroizing::new(String::new());
    io::Read::read_to_string(&mut io::Read::take(file, FILE_BYTES), &mut text)?;
    Ok(text)
}

/// A line with a new key.
fn new_line() -> Result<Zeroizing<String>> {
    let key = Plain::random(KEY_BYTES)?;
    let id = Uuid::new_v4().simple().to_string();
    let coded = Zeroizing::new(STANDARD.encode(&*key));
    Ok(Zeroizing::new(format!("k{}:{}\n", &id[..8], coded.as_str())))
}

/// Makes a file with one new key; who comes second leaves the first one's.
pub(super) fn make(path: &Path) -> Result<()> {
    let apart = write_apart(path, &new_line()?)?;
    let linked = fs::hard_link(&apart, path);
    fs::remove_file(&apart)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => sync_folder(path),
    }
}

/// Puts a new key before the others; a killed process leaves the old file or the new one, whole.
pub(super) fn add(path: &Path) -> Result<()> {
    let old = text_of(path)?;
    let new = Zeroizing::new(format!("{}{}", new_line()?.as_str(), old.as_str()));
    read(&new)?;
    let apart = write_apart(path, &new)?;
    fs::rename(apart, path)?;
    sync_folder(path)
}

fn write_apart(path: &Path, text: &str) -> Result<std::path::PathBuf> {
    let apart = path.with_extension(format!("{}.new", Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&apart)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(apart)
}

/// Makes the file's name last as well.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Keyring;
    use super::*;
    use clinical::id::ClinicId;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_text_without_good_keys_is_refused_and_not_repeated() {
        let good = STANDARD.encode([7; KEY_BYTES]);
        for text in ["", " \n", "a", "a:", "a:c2hvcnQ=", "a b:x", &format!("a_b:{good}"), &good] {
            let refused = Keyring::from_text(text).unwrap_err().to_string();
            assert!(!refused.contains("c2hvcnQ") && !refused.contains(&good), "{refused}");
        }
        let twice = Keyring::from_text(&format!("a:{good},a:{good}"));
        assert!(matches!(twice, Err(SecretError::KeyTwice(id)) if id == "a"));
        assert_eq!(Keyring::from_text(&format!("b:{good}, a:{good}")).unwrap().current_id(), "b");
    }

    #[test]
    fn a_made_file_is_its_owners_alone_and_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        let made = Keyring::from_file_or_new(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Keyring::from_file_or_new(&path).unwrap().current_id(), made.current_id());
        make(&path).unwrap();
        assert_eq!(Keyring::from_file(&path).unwrap().current_id(), made.current_id());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        Keyring::from_file_or_new(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keyring::from_file(&path), Err(SecretError::KeyFileOpen(_))));
    }

    #[test]
    fn a_running_service_knows_a_key_that_was_added_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        let running = Keyring::from_file_or_new(&path).unwrap();
        let before = running.seal(ClinicId::DEFAULT, "test", b"before").unwrap();
        let elsewhere = Keyring::from_file(&path).unwrap();
        let added = elsewhere.add_key().unwrap();
        let after = elsewhere.seal(ClinicId::DEFAULT, "test", b"after").unwrap();
        assert_eq!(after.key_id(), added);
        assert_ne!(before.key_id(), added);
        assert_eq!(&*running.open(ClinicId::DEFAULT, "test", &after).unwrap(), b"after");
        assert_eq!(&*elsewhere.open(ClinicId::DEFAULT, "test", &before).unwrap(), b"before");
    }
}
