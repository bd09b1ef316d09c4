//! Sealing a push for one browser: RFC 8291 over RFC 8188 (`aes128gcm`).

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::channel::Subscription;

/// An uncompressed point of P-256.
const POINT_BYTES: usize = 65;
/// RFC 8291, section 3.2.
const SECRET_BYTES: usize = 16;
/// RFC 8188, section 2.1.
const SALT_BYTES: usize = 16;
/// The size of a record, of which there is one (RFC 8291, section 4).
const RECORD_BYTES: u32 = 4_096;
/// RFC 8188, section 2: what ends the last record.
const LAST: u8 = 2;

/// The public key of a browser; `None` unless it is a point of the curve.
pub(crate) fn receiver_key(text: &str) -> Option<Vec<u8>> {
    let bytes = decoded(text)?;
    let is_uncompressed = bytes.len() == POINT_BYTES && bytes[0] == 4;
    let point = is_uncompressed.then(|| UnparsedPublicKey::new(&ECDH_P256, &bytes))?;
    ParsedPublicKey::try_from(point).ok()?;
    Some(bytes)
}

/// The secret of a browser; `None` unless it has 16 bytes.
pub(crate) fn receiver_secret(text: &str) -> Option<Vec<u8>> {
    decoded(text).filter(|bytes| bytes.len() == SECRET_BYTES)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    if text.len() > 128 {
        return None;
    }
    // Some browsers' libraries write the alphabet of base64, or fill up with `=`.
    let text: String = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The body of a push that `to` alone can read.
///
/// # Errors
///
/// What is wrong with the browser's keys.
pub(crate) fn seal(to: &Subscription, text: &[u8]) -> Result<Vec<u8>, String> {
    let key = receiver_key(to.p256dh()).ok_or("its key is no point of P-256")?;
    let secret = receiver_secret(to.auth()).ok_or("its secret has not 16 bytes")?;
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| "the machine has no random bytes")?;
    let ours = PrivateKey::generate(&ECDH_P256).map_err(|_| "the machine has no random bytes")?;
    sealed(&key, &secret, &ours, &salt, text).map_err(|_| "its key was refused".to_owned())
}

/// A length that HKDF fills.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn derived<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    let mut bytes = [0; N];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Bytes(N))?.fill(&mut bytes)?;
    Ok(bytes)
}

fn sealed(
    key: &[u8],
    secret: &[u8],
    ours: &PrivateKey,
    salt: &[u8; SALT_BYTES],
    text: &[u8],
) -> Result<Vec<u8>, Unspecified> {
    let public = ours.compute_public_key()?;
    let public: &[u8] = public.as_ref();
    // RFC 8291, section 3.4.
    let input: [u8; 32] = agree(ours, UnparsedPublicKey::new(&ECDH_P256, key), Unspecified, |shared| {
        derived(secret, shared, &[b"WebPush: info\0", key, public])
    })?;
    // RFC 8188, sections 2.2 and 2.3; the only record has the number 0, which changes nothing in the nonce.
    let content_key: [u8; 16] = derived(salt, &input, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; NONCE_LEN] = derived(salt, &input, &[b"Content-Encoding: nonce\0"])?;
    let mut record = [text, &[LAST]].concat();
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content_key)?);
    cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record)?;
    let length = u8::try_from(public.len()).map_err(|_| Unspecified)?;
    Ok([salt.as_slice(), &RECORD_BYTES.to_be_bytes(), &[length], public, &record].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const SECRET: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    /// RFC 8291, section 5 and appendix A.
    #[test]
    fn the_example_of_the_standard_is_sealed_alike() {
        let ours = decoded("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").unwrap();
        let ours = PrivateKey::from_private_key(&ECDH_P256, &ours).unwrap();
        let salt = decoded("DGv6ra1nlYgDCS1FRnbzlw").unwrap().try_into().unwrap();
        let (key, secret) = (receiver_key(KEY).unwrap(), receiver_secret(SECRET).unwrap());
        let body = sealed(&key, &secret, &ours, &salt, b"When I grow up, I want to be a watermelon").unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(body),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK\
             6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn a_key_that_is_no_point_of_the_curve_is_refused() {
        assert!(receiver_key(KEY).is_some() && receiver_key(&format!("{KEY}==")).is_some());
        let mut off = decoded(KEY).unwrap();
        off[64] ^= 1;
        assert!(receiver_key(&URL_SAFE_NO_PAD.encode(&off)).is_none(), "the point is beside the curve");
        for bad in ["", "AA", &KEY[..60], &"A".repeat(200), "not base64 at all"] {
            assert!(receiver_key(bad).is_none(), "{bad}");
        }
        assert!(receiver_secret(SECRET).is_some() && receiver_secret("AAAA").is_none());
    }
}
