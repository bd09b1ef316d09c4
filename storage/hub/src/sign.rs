//! Signatures of webhooks: Standard Webhooks 1.0, symmetric scheme `v1`.
//!
//! Own lines over aws-lc-rs instead of the crate `standardwebhooks`, which brings
//! an HMAC of its own; the tests let that crate verify what is signed here.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// `v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`; with several secrets, one after another.
pub(crate) fn signature<'s>(
    secrets: impl IntoIterator<Item = &'s [u8]>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let content = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let signed = secrets.into_iter().map(|secret| {
        let tag = sign(&Key::new(HMAC_SHA256, secret), &content);
        format!("v1,{}", STANDARD.encode(tag))
    });
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification and of its reference libraries' tests.
    #[test]
    fn the_example_of_the_specification_is_signed_alike() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(
            [secret.as_slice()],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let signed = signature([b"one".as_slice(), b"two".as_slice()], "id", 1, b"");
        assert_eq!(signed.split(' ').filter(|part| part.starts_with("v1,")).count(), 2);
    }
}
