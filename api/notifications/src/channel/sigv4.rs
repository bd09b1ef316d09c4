//! Signatures of Amazon's services, version 4, for requests with a body.
//!
//! Own lines over aws-lc-rs: `aws-sigv4` and `reqsign` both bring an HMAC and a SHA-256 of their own, the first also
//! Amazon's runtime crates; the published test suite stands below instead.
//!
//! Source: AWS General Reference, «Create a signed AWS API request».

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use url::Url;

use super::parts::{Parts, PartsError};

/// A key of an AWS user, and where it is used.
pub(crate) struct Signer {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    region: String,
}

/// It opens a door: a log that prints it prints this.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.region)
    }
}

impl Signer {
    /// `accessKeyId`, `secretAccessKey`, `sessionToken` where there is one, and `region`.
    ///
    /// # Errors
    ///
    /// [`PartsError`] when one is missing or does not read.
    pub(crate) fn of(parts: &Parts) -> Result<Self, PartsError> {
        Ok(Self {
            access_key_id: parts.need_word("accessKeyId")?.to_owned(),
            secret_access_key: parts.need("secretAccessKey")?.to_owned(),
            session_token: parts.get("sessionToken").map(str::to_owned),
            region: parts.need_word("region")?.to_owned(),
        })
    }

    /// Where it is used.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The headers that sign a request without a query: `x-amz-date`, `authorization`, and `x-amz-security-token`
    /// where there is a session. `content_type` is signed with it; the client adds `host` itself.
    pub(crate) fn headers(
        &self,
        service: &str,
        method: &str,
        url: &Url,
        content_type: &str,
        body: &[u8],
        at: DateTime<Utc>,
    ) -> Vec<(&'static str, String)> {
        let instant = at.format("%Y%m%dT%H%M%SZ").to_string();
        let day = at.format("%Y%m%d").to_string();
        let mut signed = Vec::with_capacity(4);
        if !content_type.is_empty() {
            signed.push(("content-type", content_type.to_owned()));
        }
        signed.push(("host", authority(url)));
        signed.push(("x-amz-date", instant.clone()));
        if let Some(token) = &self.session_token {
            signed.push(("x-amz-security-token", token.clone()));
        }
        let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let request = format!("{method}\n{}\n\n{lines}\n{names}\n{}", path(url), hex(body));
        let scope = format!("{day}/{}/{service}/aws4_request", self.region);
        let to_sign = format!("AWS4-HMAC-SHA256\n{instant}\n{scope}\n{}", hex(request.as_bytes()));
        let mut key = mac(format!("AWS4{}", self.secret_access_key).as_bytes(), day.as_bytes());
        for part in [self.region.as_str(), service, "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        let signature = HEXLOWER.encode(&mac(&key, to_sign.as_bytes()));
        let credential = format!("{}/{scope}", self.access_key_id);
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        let mut headers = vec![("x-amz-date", instant), ("authorization", authorization)];
        headers.extend(self.session_token.clone().map(|token| ("x-amz-security-token", token)));
        headers
    }
}

/// Host, and port where it is not the usual one.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn path(url: &Url) -> &str {
    if url.path().is_empty() { "/" } else { url.path() }
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        let texts = [
            ("accessKeyId", "AKIDEXAMPLE"),
            ("secretAccessKey", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            ("region", "us-east-1"),
        ];
        let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
        Signer::of(&Parts::new(texts.collect())).unwrap()
    }

    fn signature(method: &str, content_type: &str, body: &[u8]) -> String {
        let at = "2015-08-30T12:36:00Z".parse().unwrap();
        let url = "https://example.amazonaws.com/".parse().unwrap();
        let headers = signer().headers("service", method, &url, content_type, body, at);
        let (_, authorization) = headers.into_iter().find(|(name, _)| *name == "authorization").unwrap();
        authorization
    }

    /// The cases `get-vanilla`, `post-vanilla` and `post-x-www-form-urlencoded` of Amazon's test suite
    /// `aws-sig-v4-test-suite`.
    #[test]
    fn the_requests_of_the_test_suite_are_signed_alike() {
        assert_eq!(
            signature("GET", "", b""),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert!(
            signature("POST", "", b"")
                .ends_with("Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")
        );
        let form = signature("POST", "application/x-www-form-urlencoded", b"Param1=value1");
        assert!(
            form.ends_with(
                "SignedHeaders=content-type;host;x-amz-date, \
                 Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
            ),
            "{form}"
        );
    }

    #[test]
    fn a_port_of_its_own_is_part_of_the_host() {
        assert_eq!(authority(&"http://127.0.0.1:5000/v2".parse().unwrap()), "127.0.0.1:5000");
        assert_eq!(
            authority(&"https://sns.eu-central-1.amazonaws.com".parse().unwrap()),
            "sns.eu-central-1.amazonaws.com"
        );
    }
}
