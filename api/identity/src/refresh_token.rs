//! Refresh tokens: a session and a generation, and a MAC over both under the session's own key.
//!
//! The row holds the key (sealed) and the generation that counts, and no token: a
//! copy of the database opens nothing. A token of an earlier generation is known
//! for what it is, so its return can end the session (RFC 9700, section 4.14.2);
//! a made-up one is not, so nobody ends another's session by guessing.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clinical::id::SessionId;
use uuid::Uuid;

/// With what every one begins.
const PREFIX: &str = "mlr_";
/// Session, generation, MAC.
const BYTES: usize = 16 + 8 + 32;
/// Parts these MACs from whatever else the key might ever be used for.
const DOMAIN: &[u8] = b"medilink refresh 1";

/// The token of a generation.
pub(crate) fn text(session: SessionId, generation: i64, key: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &message(session, generation));
    let bytes = [session.0.as_bytes(), generation.to_be_bytes().as_slice(), tag.as_ref()].concat();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn message(session: SessionId, generation: i64) -> Vec<u8> {
    [DOMAIN, session.0.as_bytes(), &generation.to_be_bytes()].concat()
}

/// A token as it was shown.
pub(crate) struct Shown {
    pub session: SessionId,
    pub generation: i64,
    tag: Vec<u8>,
}

impl Shown {
    /// Reads a token; what it says is not believed before [`Shown::is_made_with`].
    pub fn read(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX).filter(|encoded| encoded.len() <= 2 * BYTES)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok().filter(|bytes| bytes.len() == BYTES)?;
        let (session, rest) = bytes.split_first_chunk::<16>()?;
        let (generation, tag) = rest.split_first_chunk::<8>()?;
        Some(Self {
            session: SessionId(Uuid::from_bytes(*session)),
            generation: i64::from_be_bytes(*generation),
            tag: tag.to_vec(),
        })
    }

    /// Whether the session's key made it; how long the answer takes tells nothing.
    pub fn is_made_with(&self, key: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, &message(self.session, self.generation), &self.tag).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_under_its_own_key_alone() {
        let session = SessionId::new();
        let token = text(session, 7, &[1; 32]);
        let shown = Shown::read(&token).unwrap();
        assert_eq!((shown.session, shown.generation), (session, 7));
        assert!(shown.is_made_with(&[1; 32]));
        assert!(!shown.is_made_with(&[2; 32]));
    }

    #[test]
    fn a_changed_or_made_up_token_is_none() {
        let token = text(SessionId::new(), 0, &[1; 32]);
        let encoded = token.strip_prefix(PREFIX).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(encoded).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let changed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(changed));
            assert!(!Shown::read(&changed).unwrap().is_made_with(&[1; 32]), "byte {place}");
        }
        for text in ["", PREFIX, encoded, &token[..token.len() - 2], &format!("{token}AA"), "mlr_%%%%"] {
            assert!(Shown::read(text).is_none(), "{text}");
        }
    }
}
