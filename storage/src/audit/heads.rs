//! The signed heads: what makes a cut tail, or a chain written anew, be noticed.
//!
//! Who can write to the database can, after dropping its triggers, change rows
//! and compute every later hash anew, or cut the newest rows off: SHA-256 needs
//! no secret. So the service keeps, in another place than the rows, how long each
//! clinic's chain was and what it ended in: the file `audit-heads.json` in the data
//! folder, signed by Ed25519 under the key in `audit-key` beside it, renewed
//! at most once a second and never set back.
//!
//! What follows from it:
//!
//! - Who writes to the database alone is found out, except for what they do to
//!   rows of the last second, of which no head was signed yet.
//! - Who can read the data folder holds the key, and who can also write to it and to the
//!   database can forge all three. On the embedded size all lie in one folder. Against
//!   them, copy `audit-heads.json` from time to time to a place that they cannot write to, and write down
//!   the public key: an old copy still proves all rows up to it
//!   (`medilink audit verify --heads COPY --public-key KEY`).
//! - The rows after the last signed head are believed as far as their chain goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit::chain::Head;

/// The file of the signed heads, in the data folder.
pub const HEADS_FILE: &str = "audit-heads.json";
/// The file of the key that signs them, in the data folder.
pub const KEY_FILE: &str = "audit-key";
/// The longest file that is read: a head takes some 150 bytes.
const FILE_BYTES: u64 = 64 << 20;
/// Parts what is signed here from whatever else a key may ever sign.
const DOMAIN: &str = "medilink audit heads 1";

/// Why heads were not signed, kept or believed.
#[derive(Debug, thiserror::Error)]
pub enum HeadsError {
    /// A file of the data folder cannot be read or written.
    #[error("the file of the signed heads or of their key cannot be used")]
    File(#[from] io::Error),
    /// The key does not read.
    #[error("the key of the signed heads does not read")]
    Key,
    /// The file does not read.
    #[error("the file of the signed heads does not read")]
    Malformed,
    /// The signature is another key's, or the heads were changed.
    #[error("the signature of the heads does not hold: they were changed, or another key signed them")]
    Forged,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] crate::db::DbError),
}

type Result<T, E = HeadsError> = std::result::Result<T, E>;

/// What is known of the signed heads.
#[derive(Debug)]
pub enum Signed {
    /// They were read and their signature holds.
    Checked(Vec<Head>),
    /// There is no such file.
    Missing,
    /// They cannot be believed.
    Broken(HeadsError),
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedHeads {
    signed_at: DateTime<Utc>,
    pub(super) heads: Vec<Head>,
    /// For people; whoever checks brings their own.
    public_key: String,
    signature: String,
}

impl SignedHeads {
    pub(super) fn sign(key: &Ed25519KeyPair, heads: Vec<Head>, signed_at: DateTime<Utc>) -> Self {
        let signature = STANDARD.encode(key.sign(&words(&heads, signed_at)));
        Self { signed_at, heads, public_key: public_key(key), signature }
    }

    /// The file's content, or `None` where there is no file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let Some(text) = read_some(path)? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|_| HeadsError::Malformed)
    }

    pub(super) fn check(&self, public_key: &str) -> Result<()> {
        let key = STANDARD.decode(public_key.trim()).map_err(|_| HeadsError::Key)?;
        let signature = STANDARD.decode(&self.signature).map_err(|_| HeadsError::Malformed)?;
        let key = UnparsedPublicKey::new(&ED25519, key);
        key.verify(&words(&self.heads, self.signed_at), &signature).map_err(|_| HeadsError::Forged)
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|_| HeadsError::Malformed)?;
        text.push(b'\n');
        let apart = write_apart(path, &text)?;
        fs::rename(apart, path)?;
        Ok(sync_folder(path)?)
    }
}

/// The heads in the file at `path`, checked by the public key (base64 of 32 bytes).
pub fn load(path: &Path, public_key: &str) -> Signed {
    let read = || {
        let Some(signed) = SignedHeads::read(path)? else { return Ok(None) };
        signed.check(public_key)?;
        Ok(Some(signed.heads))
    };
    match read() {
        Ok(Some(heads)) => Signed::Checked(heads),
        Ok(None) => Signed::Missing,
        Err(error) => Signed::Broken(error),
    }
}

/// The public half of the data folder's key in base64, or `None` where there is no key yet.
///
/// # Errors
///
/// [`HeadsError::File`] and [`HeadsError::Key`] when the key cannot be read.
pub fn public_key_in(folder: &Path) -> Result<Option<String>> {
    Ok(read_key(&folder.join(KEY_FILE))?.as_ref().map(public_key))
}

pub(super) fn public_key(key: &Ed25519KeyPair) -> String {
    STANDARD.encode(key.public_key())
}

/// The key of the folder, made when there is none; who comes second takes the first one's.
pub(super) fn key_in(folder: &Path) -> Result<Ed25519KeyPair> {
    let path = folder.join(KEY_FILE);
    if let Some(key) = read_key(&path)? {
        return Ok(key);
    }
    let made = Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8()).map_err(|_| HeadsError::Key)?;
    let apart = write_apart(&path, made.as_ref())?;
    let linked = fs::hard_link(&apart, &path);
    fs::remove_file(&apart)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => sync_folder(&path)?,
    }
    read_key(&path)?.ok_or(HeadsError::Key)
}

fn read_key(path: &Path) -> Result<Option<Ed25519KeyPair>> {
    let Some(kept) = read_some(path)? else { return Ok(None) };
    Ed25519KeyPair::from_pkcs8(&kept).map(Some).map_err(|_| HeadsError::Key)
}

fn read_some(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// What is signed: a line for the heads as a whole and one for each.
fn words(heads: &[Head], signed_at: DateTime<Utc>) -> Vec<u8> {
    let mut words = format!("{DOMAIN}\n{}\n", signed_at.to_rfc3339());
    for Head { clinic_id, seq, hash } in heads {
        words.push_str(&format!("{clinic_id} {seq} {hash}\n"));
    }
    words.into_bytes()
}

fn write_apart(path: &Path, bytes: &[u8]) -> Result<std::path::PathBuf> {
    let apart = path.with_extension(format!("{}.new", Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&apart)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(apart)
}

/// Makes the file's name last as well.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Hash;
    use crate::testing::now;
    use clinical::id::ClinicId;
    use std::os::unix::fs::MetadataExt;

    fn heads(seq: i64) -> Vec<Head> {
        let clinic_id = ClinicId::DEFAULT;
        vec![Head { clinic_id, seq, hash: Hash::before_first(clinic_id) }]
    }

    #[test]
    fn signed_heads_read_back_and_changed_ones_do_not_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(HEADS_FILE);
        let key = key_in(folder.path()).unwrap();
        let ours = public_key(&key);
        assert!(matches!(load(&path, &ours), Signed::Missing));
        SignedHeads::sign(&key, heads(7), now()).write(&path).unwrap();
        assert!(matches!(load(&path, &ours), Signed::Checked(kept) if kept == heads(7)));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"seq\": 7", "\"seq\": 6")).unwrap();
        assert!(matches!(load(&path, &ours), Signed::Broken(HeadsError::Forged)));
        fs::write(&path, "{").unwrap();
        assert!(matches!(load(&path, &ours), Signed::Broken(HeadsError::Malformed)));
        let stranger = Ed25519KeyPair::generate().unwrap();
        SignedHeads::sign(&stranger, heads(7), now()).write(&path).unwrap();
        assert!(matches!(load(&path, &ours), Signed::Broken(HeadsError::Forged)));
    }

    #[test]
    fn the_key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(public_key_in(folder.path()).unwrap(), None);
        let first = public_key(&key_in(folder.path()).unwrap());
        assert_eq!(public_key(&key_in(folder.path()).unwrap()), first);
        assert_eq!(public_key_in(folder.path()).unwrap(), Some(first));
        let path = folder.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(&path, "no key").unwrap();
        assert!(matches!(key_in(folder.path()), Err(HeadsError::Key)));
    }
}
