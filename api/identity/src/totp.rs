//! Codes that follow the time: RFC 6238 over RFC 4226, six digits, thirty seconds, HMAC-SHA-1.
//!
//! Own code: it is these lines over a kept HMAC, where a crate would bring a second
//! implementation of HMAC and SHA-1 with it.

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq;

/// Bytes of a secret (RFC 4226, section 4: 160 bits recommended).
pub(crate) const SECRET_BYTES: usize = 20;
/// How long one code is shown, in seconds.
const STEP_S: i64 = 30;
const DIGITS: usize = 6;
/// A code of one step earlier or later is taken too: clocks differ, and people type (RFC 6238, section 5.2).
const DRIFT: i64 = 1;

/// The code of a step (RFC 4226, section 5.3).
fn code(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 0x0f);
    let word = tag[offset..offset + 4].iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// The step whose code this is, about now and after `last_step`: no code counts twice.
pub(crate) fn step_of(secret: &[u8], shown: &str, now: DateTime<Utc>, last_step: i64) -> Option<i64> {
    let this = now.timestamp().div_euclid(STEP_S);
    let shown = shown.trim();
    if shown.len() != DIGITS {
        return None;
    }
    let mut found = None;
    // All are looked at, so that the time tells nothing.
    for step in this - DRIFT..=this + DRIFT {
        let is_it = bool::from(code(secret, step).as_bytes().ct_eq(shown.as_bytes()));
        if is_it && step > last_step {
            found = Some(step);
        }
    }
    found
}

/// What an authenticator reads from a QR code (the Key URI Format that Google Authenticator brought up).
pub(crate) fn uri(secret: &[u8], email: &str) -> String {
    let secret = base32(secret);
    format!("otpauth://totp/Medilink:{}?secret={secret}&issuer=Medilink", percent_encoded(email))
}

/// The secret as people type it: base32 without padding.
pub(crate) fn base32(secret: &[u8]) -> String {
    data_encoding::BASE32_NOPAD.encode(secret)
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// RFC 6238, appendix B, the rows of SHA-1 (there with eight digits: the last six are ours).
    #[test]
    fn the_codes_are_those_of_the_standard() {
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(SECRET, seconds / 30), expected);
            assert_eq!(step_of(SECRET, expected, at(seconds), 0), Some(seconds / 30));
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn a_code_counts_once_and_not_long() {
        assert_eq!(code(SECRET, 1), "287082");
        assert_eq!(step_of(SECRET, "287082", at(30), 1), None, "used before");
        assert_eq!(step_of(SECRET, "287082", at(89), 0), Some(1), "a step late");
        assert_eq!(step_of(SECRET, "287082", at(90), 0), None, "two steps late");
        assert_eq!(step_of(SECRET, "287082", at(1), 0), Some(1), "a step early");
        for odd in ["", "28708", "2870820", "abcdef", "२८७०८२"] {
            assert_eq!(step_of(SECRET, odd, at(30), 0), None, "{odd}");
        }
    }

    #[test]
    fn the_link_holds_whatever_the_address_holds() {
        let link = uri(SECRET, "a&b@example.org");
        let expected = "otpauth://totp/Medilink:a%26b%40example.org\
                        ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Medilink";
        assert_eq!(link, expected);
    }
}
