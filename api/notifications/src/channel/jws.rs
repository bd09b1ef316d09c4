//! Short-lived tokens that we sign for others: JWS compact serialisation (RFC 7515, section 7.1).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::parts::PartsError;

/// A key that signs tokens.
pub(crate) enum TokenKey {
    /// `RS256`.
    Rsa(Box<RsaKeyPair>),
    /// `ES256`.
    P256(Box<EcdsaKeyPair>),
}

impl TokenKey {
    /// An RSA key as a PEM text of PKCS #8, as service accounts have it.
    ///
    /// # Errors
    ///
    /// [`PartsError::Malformed`] when it does not read.
    pub(crate) fn from_pem(text: &str) -> Result<Self, PartsError> {
        let malformed = || PartsError::Malformed("private_key", "it is a key of RSA in PEM");
        let body =
            text.split_once("-----BEGIN PRIVATE KEY-----").map(|(_, rest)| rest).ok_or_else(malformed)?;
        let (body, _) = body.split_once("-----END PRIVATE KEY-----").ok_or_else(malformed)?;
        let lines: String = body.split_whitespace().collect();
        let der = STANDARD.decode(lines).map_err(|_| malformed())?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| malformed())?;
        Ok(Self::Rsa(Box::new(key)))
    }

    /// A key of P-256 by its private number and its public point.
    ///
    /// # Errors
    ///
    /// [`PartsError::Malformed`] when they do not belong together.
    pub(crate) fn from_p256(private: &[u8], public: &[u8]) -> Result<Self, PartsError> {
        let malformed = |_| PartsError::Malformed("vapid_private_key", "it is a private key of P-256");
        let key =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, private, public);
        Ok(Self::P256(Box::new(key.map_err(malformed)?)))
    }

    /// The public point of a key of P-256; empty for another.
    pub(crate) fn public_point(&self) -> &[u8] {
        match self {
            Self::Rsa(_) => &[],
            Self::P256(key) => key.public_key().as_ref(),
        }
    }

    /// A token with these claims; `header` is added to `alg` and `typ`.
    ///
    /// # Errors
    ///
    /// [`PartsError::Machine`] when the machine cannot sign.
    pub(crate) fn sign(&self, mut header: Value, claims: &Value) -> Result<String, PartsError> {
        header["typ"] = "JWT".into();
        header["alg"] = match self {
            Self::Rsa(_) => "RS256".into(),
            Self::P256(_) => "ES256".into(),
        };
        let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let text = format!("{header}.{claims}");
        let random = SystemRandom::new();
        let cannot = |_| PartsError::Machine("it gave no signature".to_owned());
        let signature = match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).map_err(cannot)?;
                signature
            }
            Self::P256(key) => key.sign(&random, text.as_bytes()).map_err(cannot)?.as_ref().to_vec(),
        };
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
