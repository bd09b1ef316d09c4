//! The parts of a provider's credentials: texts by the provider's own names.

use std::collections::BTreeMap;
use std::fmt;

use storage::records::credential::Credential;
use storage::secret::{Keyring, SecretError};

/// Credentials of one provider, the sender among them.
#[derive(Clone, Default)]
pub(crate) struct Parts(BTreeMap<String, String>);

/// They open doors: a log that prints them prints this.
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts(…)")
    }
}

/// Why nothing can be sent with these credentials.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// One is missing.
    #[error("the credentials lack {0}")]
    Missing(&'static str),
    /// One does not read.
    #[error("{0} does not read: {1}")]
    Malformed(&'static str, &'static str),
    /// They do not open.
    #[error("the credentials do not open")]
    Sealed(#[from] SecretError),
    /// The machine cannot do what they ask for.
    #[error("the machine cannot send: {0}")]
    Machine(String),
}

impl Parts {
    pub(crate) fn new(texts: BTreeMap<String, String>) -> Self {
        Self(texts)
    }

    /// Those of a stored credential: what may be shown, and what was sealed.
    pub(crate) fn open(credential: &Credential, keys: &Keyring) -> Result<Self, PartsError> {
        let mut texts: BTreeMap<String, String> = match credential.open(keys)? {
            None => BTreeMap::new(),
            Some(plain) => serde_json::from_slice(&plain)
                .map_err(|_| PartsError::Malformed("credentials", "they are texts by their names"))?,
        };
        for (name, value) in credential.public.as_object().into_iter().flatten() {
            if let Some(text) = value.as_str() {
                texts.insert(name.clone(), text.to_owned());
            }
        }
        Ok(Self(texts))
    }

    /// The part of this name; `None` where it is missing or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The part of this name.
    ///
    /// # Errors
    ///
    /// [`PartsError::Missing`] names it.
    pub(crate) fn need(&self, name: &'static str) -> Result<&str, PartsError> {
        self.get(name).ok_or(PartsError::Missing(name))
    }

    /// A part that is put into an address: 1 to 64 letters, digits, hyphens and underscores.
    ///
    /// # Errors
    ///
    /// [`PartsError`] when it is missing or holds anything else.
    pub(crate) fn need_word(&self, name: &'static str) -> Result<&str, PartsError> {
        let text = self.need(name)?;
        let is_word = text.len() <= 64
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if is_word {
            Ok(text)
        } else {
            Err(PartsError::Malformed(name, "it has letters, digits and hyphens"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_an_address_is_a_word() {
        let parts = |text: &str| Parts::new([("region".to_owned(), text.to_owned())].into());
        assert_eq!(parts(" eu-central-1 ").need_word("region").unwrap(), "eu-central-1");
        for bad in ["evil.org/?", "a b", "a/../b", "a#b", "é"] {
            assert!(matches!(parts(bad).need_word("region"), Err(PartsError::Malformed(..))), "{bad}");
        }
        assert!(matches!(parts("  ").need_word("region"), Err(PartsError::Missing("region"))));
    }
}
