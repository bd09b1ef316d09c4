//! Who sends a push: VAPID (RFC 8292), a token for each push service, signed by one key of the installation.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use url::Url;

use crate::channel::jws::TokenKey;
use crate::channel::parts::PartsError;

/// A token lives so long: RFC 8292, section 2, allows a day at most.
const LIVES: TimeDelta = TimeDelta::hours(12);
/// A new one is made when the kept one has so long to live.
const MARGIN: TimeDelta = TimeDelta::hours(1);
/// So many push services are remembered; there are a handful in the world.
const SERVICES: usize = 256;

/// The key that browsers subscribe with.
pub(crate) struct Vapid {
    key: TokenKey,
    public: String,
    contact: String,
    tokens: Mutex<HashMap<String, (String, DateTime<Utc>)>>,
}

impl Vapid {
    /// A key by its private number, 32 bytes as base64url; `contact` is `mailto:…` or `https:…`, or empty.
    ///
    /// # Errors
    ///
    /// [`PartsError::Malformed`] when it is no key.
    pub(crate) fn new(private: &str, contact: &str) -> Result<Self, PartsError> {
        let malformed = || PartsError::Malformed("vapid_private_key", "it is 32 bytes as base64url");
        let private = URL_SAFE_NO_PAD.decode(private.trim_end_matches('=')).map_err(|_| malformed())?;
        let agreement = PrivateKey::from_private_key(&ECDH_P256, &private).map_err(|_| malformed())?;
        let public = agreement.compute_public_key().map_err(|_| malformed())?;
        let key = TokenKey::from_p256(&private, public.as_ref())?;
        let public = URL_SAFE_NO_PAD.encode(key.public_point());
        Ok(Self { key, public, contact: contact.to_owned(), tokens: Mutex::default() })
    }

    /// A new private number, as [`Vapid::new`] reads it.
    ///
    /// # Errors
    ///
    /// [`PartsError::Machine`] when the machine has no random bytes.
    pub(crate) fn generate() -> Result<String, PartsError> {
        let no_random = |_| PartsError::Machine("it has no random bytes".to_owned());
        let key = PrivateKey::generate(&ECDH_P256).map_err(no_random)?;
        let bytes: EcPrivateKeyBin<'_> = key.as_be_bytes().map_err(no_random)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes.as_ref()))
    }

    /// The public key as a page gives it to `PushManager.subscribe`: base64url of 65 bytes.
    pub(crate) fn public_key(&self) -> &str {
        &self.public
    }

    /// The header `Authorization` for the push service of `url`; its token is kept while it is good.
    ///
    /// # Errors
    ///
    /// [`PartsError::Machine`] when the machine cannot sign.
    pub(crate) fn authorization(&self, url: &Url, now: DateTime<Utc>) -> Result<String, PartsError> {
        let audience = url.origin().ascii_serialization();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((header, until)) = tokens.get(&audience)
            && now + MARGIN < *until
        {
            return Ok(header.clone());
        }
        let until = now + LIVES;
        let mut claims = json!({"aud": audience, "exp": until.timestamp()});
        if !self.contact.is_empty() {
            claims["sub"] = self.contact.as_str().into();
        }
        let token = self.key.sign(json!({}), &claims)?;
        let header = format!("vapid t={token}, k={}", self.public);
        if tokens.len() >= SERVICES {
            tokens.clear();
        }
        tokens.insert(audience, (header.clone(), until));
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::Value;
    use storage::testing::now;

    /// RFC 8292, sections 2 and 3: `aud` is the origin, `exp` within a day, `k` the key that verifies `t`.
    #[test]
    fn a_token_names_the_push_service_and_is_signed_by_the_key_beside_it() {
        let vapid = Vapid::new(&Vapid::generate().unwrap(), "mailto:a@example.org").unwrap();
        let url = "https://push.example.net/p/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV".parse().unwrap();
        let header = vapid.authorization(&url, now()).unwrap();
        let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = URL_SAFE_NO_PAD.decode(key).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key).verify(signed.as_bytes(), &signature).unwrap();
        let claims = signed.split_once('.').unwrap().1;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(
            (&claims["aud"], &claims["sub"]),
            (&"https://push.example.net".into(), &"mailto:a@example.org".into())
        );
        assert!(claims["exp"].as_i64().unwrap() - now().timestamp() <= 86_400);
        assert_eq!(vapid.authorization(&url, now() + TimeDelta::hours(10)).unwrap(), header, "it is kept");
        assert_ne!(vapid.authorization(&url, now() + TimeDelta::hours(12)).unwrap(), header);
    }

    #[test]
    fn a_private_key_is_read_as_other_libraries_write_it() {
        // The application server's keys of RFC 8291, appendix A.
        let vapid = Vapid::new("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw=", "").unwrap();
        let public =
            "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
        assert_eq!(vapid.public_key(), public);
        assert!(Vapid::new("AAAA", "").is_err());
    }
}
