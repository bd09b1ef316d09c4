//! What must be kept and never shown: sealed by AES-256-GCM under a key-encryption key.
//!
//! The key's identifier stands beside the ciphertext, so that keys can be changed
//! while both are known ([`rotate`]). Clinic and purpose are associated data: a
//! row that is copied to another clinic, or to another column, does not open.
//!
//! Source: NIST SP 800-38D (GCM, a random 96-bit nonce: section 8.2.2).

mod key_file;
mod rotate;

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clinical::id::ClinicId;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use rotate::{RotateError, Rotated, rotate};

use crate::value::Value;

/// Bytes of a key of AES-256.
pub const KEY_BYTES: usize = 32;
/// Whom a secret belongs to that is no clinic's, as the keys that sign access tokens.
pub const SYSTEM: ClinicId = ClinicId(Uuid::nil());
/// The longest identifier of a key.
const KEY_ID_CHARACTERS: usize = 32;
/// Parts what is sealed here from whatever else the same key may ever seal.
const DOMAIN: &[u8] = b"medilink secret 1";

/// Why a secret was not sealed or opened. No variant holds a key or a plain text.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No key-encryption key has this identifier.
    #[error("the key-encryption key {0:?} is not at hand: name it beside the current one")]
    UnknownKey(String),
    /// The ciphertext was changed, or belongs to another clinic or purpose.
    #[error("a sealed secret does not open: it was changed, or belongs elsewhere")]
    Damaged,
    /// The stored text is no sealed secret.
    #[error("a sealed secret is written as key.base64")]
    Malformed,
    /// The text of the keys does not read.
    #[error("line {0} of the key-encryption keys is not id:base64 of 32 bytes")]
    KeyText(usize),
    /// Two keys have one identifier.
    #[error("two key-encryption keys are called {0:?}")]
    KeyTwice(String),
    /// There is no key at all.
    #[error("there is no key-encryption key")]
    NoKey,
    /// Others than the owner can read the file of the keys.
    #[error("others can read {0}: chmod 600")]
    KeyFileOpen(String),
    /// The file of the keys cannot be read or made.
    #[error("the file of the key-encryption keys cannot be used")]
    KeyFile(#[from] std::io::Error),
    /// The machine gave no random bytes, or the library refused.
    #[error("the machine could not seal")]
    Machine,
}

type Result<T, E = SecretError> = std::result::Result<T, E>;

/// A secret as it is kept: `key.base64`, in which nonce, ciphertext and tag follow one another.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    key_id: String,
    bytes: Vec<u8>,
}

impl Sealed {
    /// Under which key it was sealed.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key_id, STANDARD.encode(&self.bytes))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {} bytes)", self.key_id, self.bytes.len())
    }
}

impl FromStr for Sealed {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self> {
        let (key_id, rest) = text.split_once('.').ok_or(SecretError::Malformed)?;
        let bytes = STANDARD.decode(rest).map_err(|_| SecretError::Malformed)?;
        if !is_key_id(key_id) || bytes.len() < NONCE_LEN + AES_256_GCM.tag_len() {
            return Err(SecretError::Malformed);
        }
        Ok(Self { key_id: key_id.to_owned(), bytes })
    }
}

impl From<&Sealed> for Value {
    fn from(sealed: &Sealed) -> Self {
        Self::Text(Some(sealed.to_string()))
    }
}

impl From<Sealed> for Value {
    fn from(sealed: Sealed) -> Self {
        Self::from(&sealed)
    }
}

/// An opened secret: wiped from memory when dropped, and never shown by `Debug`.
#[derive(Clone)]
pub struct Plain(Zeroizing<Vec<u8>>);

impl Plain {
    /// Takes a secret in.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// As many random bytes.
    ///
    /// # Errors
    ///
    /// [`SecretError::Machine`] when the machine has none.
    pub fn random(length: usize) -> Result<Self> {
        let mut bytes = Zeroizing::new(vec![0; length]);
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SecretError::Machine)?;
        Ok(Self(bytes))
    }
}

impl Deref for Plain {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(…)")
    }
}

fn is_key_id(text: &str) -> bool {
    (1..=KEY_ID_CHARACTERS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// One key-encryption key.
struct Key {
    id: String,
    key: RandomizedNonceKey,
}

impl Key {
    fn new(id: String, bytes: &[u8]) -> Result<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| SecretError::Machine)?;
        Ok(Self { id, key })
    }

    /// Key, clinic and purpose: what must be the same when it is opened.
    fn associated(&self, clinic: ClinicId, purpose: &str) -> Aad<Vec<u8>> {
        let id = self.id.as_bytes();
        let length = [u8::try_from(id.len()).unwrap_or(u8::MAX)];
        Aad::from([DOMAIN, &length, id, clinic.0.as_bytes(), purpose.as_bytes()].concat())
    }
}

/// The key-encryption keys; the first is the current one. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<Ring>);

struct Ring {
    keys: RwLock<Arc<Vec<Key>>>,
    /// Where the keys were read from, and are read again when one is missing.
    file: Option<PathBuf>,
}

impl Keyring {
    /// Reads keys from a text: `id:base64` of 32 bytes, parted by line ends, spaces or commas; the first is the
    /// current one. An identifier has 1 to 32 letters, digits and hyphens.
    ///
    /// # Errors
    ///
    /// [`SecretError`] names the line, and never what stands in it.
    pub fn from_text(text: &str) -> Result<Self> {
        let keys = key_file::read(text)?;
        Ok(Self(Arc::new(Ring { keys: RwLock::new(Arc::new(keys)), file: None })))
    }

    /// Reads keys from a file that its owner alone can read, as [`Keyring::from_text`].
    ///
    /// When a secret names a key that is not known yet, the file is read again: a key that `rotate` has
    /// added is known to a running service at once.
    ///
    /// # Errors
    ///
    /// [`SecretError`] when the file or its text does not read.
    pub fn from_file(path: &Path) -> Result<Self> {
        let keys = key_file::load(path)?;
        Ok(Self(Arc::new(Ring { keys: RwLock::new(Arc::new(keys)), file: Some(path.to_owned()) })))
    }

    /// As [`Keyring::from_file`]; where there is no such file, it is made with one new key, for its owner alone.
    ///
    /// # Errors
    ///
    /// [`SecretError`] when the file cannot be made or read.
    pub fn from_file_or_new(path: &Path) -> Result<Self> {
        if !path.exists() {
            key_file::make(path)?;
        }
        Self::from_file(path)
    }

    /// Puts a new key before those of the file and makes it the current one; its identifier.
    ///
    /// # Errors
    ///
    /// [`SecretError::NoKey`] when the keys come from no file; [`SecretError`] when it cannot be written.
    pub fn add_key(&self) -> Result<String> {
        let path = self.0.file.as_deref().ok_or(SecretError::NoKey)?;
        key_file::add(path)?;
        self.reload()?;
        Ok(self.current_id())
    }

    /// Which key new secrets are sealed under.
    pub fn current_id(&self) -> String {
        self.keys().first().map(|key| key.id.clone()).unwrap_or_default()
    }

    /// Seals `plain` for a clinic and a purpose, which must be the same when it is opened.
    ///
    /// # Errors
    ///
    /// [`SecretError::Machine`].
    pub fn seal(&self, clinic: ClinicId, purpose: &str, plain: &[u8]) -> Result<Sealed> {
        let keys = self.keys();
        let key = keys.first().ok_or(SecretError::NoKey)?;
        let mut bytes = Zeroizing::new(plain.to_vec());
        let nonce = key
            .key
            .seal_in_place_append_tag(key.associated(clinic, purpose), &mut *bytes)
            .map_err(|_| SecretError::Machine)?;
        Ok(Sealed { key_id: key.id.clone(), bytes: [nonce.as_ref(), bytes.as_slice()].concat() })
    }

    /// Opens what was sealed for this clinic and purpose.
    ///
    /// # Errors
    ///
    /// [`SecretError::UnknownKey`]; [`SecretError::Damaged`] when anything of it differs.
    pub fn open(&self, clinic: ClinicId, purpose: &str, sealed: &Sealed) -> Result<Plain> {
        let mut keys = self.keys();
        if self.0.file.is_some() && !keys.iter().any(|key| key.id == sealed.key_id) {
            self.reload()?;
            keys = self.keys();
        }
        let key = keys.iter().find(|key| key.id == sealed.key_id);
        let key = key.ok_or_else(|| SecretError::UnknownKey(sealed.key_id.clone()))?;
        let (nonce, rest) = sealed.bytes.split_at_checked(NONCE_LEN).ok_or(SecretError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretError::Malformed)?;
        let mut bytes = Zeroizing::new(rest.to_vec());
        let length = key
            .key
            .open_in_place(nonce, key.associated(clinic, purpose), &mut bytes)
            .map_err(|_| SecretError::Damaged)?
            .len();
        bytes.truncate(length);
        Ok(Plain(bytes))
    }

    fn keys(&self) -> Arc<Vec<Key>> {
        Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn reload(&self) -> Result<()> {
        let Some(path) = &self.0.file else { return Ok(()) };
        let keys = Arc::new(key_file::load(path)?);
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys();
        f.debug_list().entries(keys.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn line(id: &str, byte: u8) -> String {
        format!("{id}:{}", STANDARD.encode([byte; KEY_BYTES]))
    }

    #[test]
    fn a_secret_reads_back_from_its_text() {
        let ring = Keyring::from_text(&line("a", 1)).unwrap();
        let sealed = ring.seal(CLINIC, "test", b"open sesame").unwrap();
        let text = sealed.to_string();
        assert!(text.starts_with("a."), "{text}");
        let read: Sealed = text.parse().unwrap();
        assert_eq!(&*ring.open(CLINIC, "test", &read).unwrap(), b"open sesame");
    }

    /// SP 800-38D, section 8.2.2: the nonce is drawn anew each time.
    #[test]
    fn the_same_secret_twice_looks_different() {
        let ring = Keyring::from_text(&line("a", 1)).unwrap();
        assert_ne!(ring.seal(CLINIC, "test", b"x").unwrap(), ring.seal(CLINIC, "test", b"x").unwrap());
    }

    #[test]
    fn another_clinic_another_purpose_another_key_and_a_flipped_bit_do_not_open() {
        let ring = Keyring::from_text(&line("a", 1)).unwrap();
        let sealed = ring.seal(CLINIC, "test", b"open sesame").unwrap();
        let is_damaged = |opened: Result<Plain>| matches!(opened, Err(SecretError::Damaged));
        assert!(is_damaged(ring.open(ClinicId::new(), "test", &sealed)));
        assert!(is_damaged(ring.open(CLINIC, "else", &sealed)));
        let impostor = Keyring::from_text(&line("a", 2)).unwrap();
        assert!(is_damaged(impostor.open(CLINIC, "test", &sealed)));
        for place in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[place] ^= 1;
            assert!(is_damaged(ring.open(CLINIC, "test", &changed)), "byte {place}");
        }
        let stranger = Keyring::from_text(&line("b", 1)).unwrap();
        let unknown = stranger.open(CLINIC, "test", &sealed);
        assert!(matches!(unknown, Err(SecretError::UnknownKey(id)) if id == "a"));
    }

    #[test]
    fn the_first_key_seals_and_the_others_still_open() {
        let old = Keyring::from_text(&line("old", 1)).unwrap().seal(CLINIC, "test", b"x").unwrap();
        let ring = Keyring::from_text(&format!("{}\n{}\n", line("new", 2), line("old", 1))).unwrap();
        assert_eq!(&*ring.open(CLINIC, "test", &old).unwrap(), b"x");
        assert_eq!(ring.seal(CLINIC, "test", b"x").unwrap().key_id(), "new");
    }

    #[test]
    fn debug_shows_neither_keys_nor_secrets() {
        let ring = Keyring::from_text(&line("a", 65)).unwrap();
        let sealed = ring.seal(CLINIC, "test", b"AAAA").unwrap();
        let plain = ring.open(CLINIC, "test", &sealed).unwrap();
        assert_eq!(format!("{ring:?} {plain:?} {sealed:?}"), "[\"a\"] Plain(…) Sealed(a, 32 bytes)");
    }

    #[test]
    fn a_text_that_is_no_sealed_secret_is_refused() {
        let short = format!("a.{}", STANDARD.encode([0; 27]));
        for text in ["", "a", "a.", ".AAAA", "a.%%%%", "a b.AAAA", &short] {
            assert!(matches!(text.parse::<Sealed>(), Err(SecretError::Malformed)), "{text}");
        }
    }
}
