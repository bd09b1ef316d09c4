//! A project's key: what makes the same thing out of the same thing, and tells strangers nothing.

use aws_lc_rs::{hmac, rand};
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// Days by which a patient's dates are moved into the past: 1 to this.
const MOST_DAYS: u64 = 3_650;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers")]
    Machine,
    /// A key that short could be guessed.
    #[error("a project's key has at least 16 bytes")]
    ShortKey,
}

/// A project: within it a UID, a patient and a shift of dates are the same in every file, beyond it never.
///
/// Everything is HMAC-SHA-256 (RFC 2104) under the project's key: without it nobody can go back, or try names.
#[derive(Clone)]
pub struct Project(hmac::Key);

impl std::fmt::Debug for Project {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Project(…)")
    }
}

impl Project {
    /// The project of this key.
    ///
    /// # Errors
    ///
    /// [`ProjectError::ShortKey`] where it could be guessed.
    pub fn from_key(key: &[u8]) -> Result<Self, ProjectError> {
        if key.len() < 16 {
            return Err(ProjectError::ShortKey);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The project `name` among those that share one key.
    ///
    /// # Errors
    ///
    /// As [`Project::from_key`].
    pub fn named(key: &[u8], name: &str) -> Result<Self, ProjectError> {
        let shared = Self::from_key(key)?;
        Self::from_key(&shared.keyed("project", &[name.as_bytes()]))
    }

    /// A project of which nobody keeps the key: two runs have nothing in common.
    ///
    /// # Errors
    ///
    /// [`ProjectError::Machine`].
    pub fn once() -> Result<Self, ProjectError> {
        Self::from_key(&*Self::new_key()?)
    }

    /// A new key of 32 bytes.
    ///
    /// # Errors
    ///
    /// [`ProjectError::Machine`].
    pub fn new_key() -> Result<Zeroizing<[u8; 32]>, ProjectError> {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(key.as_mut_slice()).map_err(|_| ProjectError::Machine)?;
        Ok(key)
    }

    /// The digest of `parts` for one purpose; no two lists of parts are written alike.
    fn keyed(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [purpose.as_bytes()].iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// The UID that stands for `uid`: of a UUID of version 8 (RFC 9562; PS3.5, section B.2).
    pub fn uid(&self, uid: &str) -> String {
        let digest = self.keyed("uid", &[uid.as_bytes()]);
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&digest[..16]);
        uuid[6] = (uuid[6] & 0x0F) | 0x80;
        uuid[8] = (uuid[8] & 0x3F) | 0x80;
        format!("2.25.{}", u128::from_be_bytes(uuid))
    }

    /// What stands for a name, label or number: 11 letters and digits that fit every VR of text.
    pub(crate) fn code(&self, value: &[u8]) -> String {
        format!("X{}", &BASE32_NOPAD.encode(&self.keyed("code", &[value])[..10])[..10])
    }

    /// The patient under this ID of this issuer.
    pub(crate) fn patient(&self, issuer: &str, id: &str) -> Patient {
        let digest = self.keyed("patient", &[issuer.as_bytes(), id.as_bytes()]);
        let days = self.keyed("days", &[issuer.as_bytes(), id.as_bytes()]);
        let mut number = [0; 8];
        number.copy_from_slice(&days[..8]);
        Patient {
            pseudonym: format!("P{}", &BASE32_NOPAD.encode(&digest[..10])[..15]),
            days_back: u64::from_be_bytes(number) % MOST_DAYS + 1,
        }
    }
}

/// What stands for a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patient {
    /// 16 letters and digits: Patient ID and name.
    pub(crate) pseudonym: String,
    /// So many days are all dates moved into the past.
    pub(crate) days_back: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clinical::uid::SopInstanceUid;

    #[test]
    fn a_project_answers_the_same_and_another_differently() {
        let (one, same) = (Project::from_key(&[7; 32]).unwrap(), Project::from_key(&[7; 32]).unwrap());
        let other = Project::named(&[7; 32], "trial").unwrap();
        assert_eq!(one.uid("1.2.3"), same.uid("1.2.3"));
        assert_ne!(one.uid("1.2.3"), one.uid("1.2.4"));
        assert_ne!(one.uid("1.2.3"), other.uid("1.2.3"));
        assert_eq!(one.patient("A", "1"), same.patient("A", "1"));
        assert_ne!(one.patient("A1", ""), one.patient("A", "1"), "issuer and ID do not run together");
        assert_ne!(Project::once().unwrap().uid("1"), Project::once().unwrap().uid("1"));
        assert!(matches!(Project::from_key(&[0; 15]), Err(ProjectError::ShortKey)));
    }

    /// The number is what Python's `hmac` gives: SHA-256 under 32 bytes of 7 over "uid" and "1.2.3", each behind its
    /// length in 8 bytes.
    #[test]
    fn a_uid_is_the_digest_as_a_uuid_and_valid() {
        let uid = Project::from_key(&[7; 32]).unwrap().uid("1.2.3");
        assert_eq!(uid, "2.25.147534748027114910351989458941574415963");
        assert!(uid.parse::<SopInstanceUid>().is_ok());
    }
}
