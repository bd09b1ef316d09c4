//! Who asks.

use axum::extract::{FromRef, FromRequestParts};
use clinical::id::ClinicId;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{App, Problem};

/// Whoever showed a token; as an argument of a handler it is the door itself.
///
/// The one token of this floor is that of the super-administrator, who belongs
/// to the default clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The clinic whose records the caller sees.
    pub clinic: ClinicId,
    /// Under which name a change is written down.
    pub name: String,
}

impl<S> FromRequestParts<S> for Caller
where
    App: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Some(token) = bearer(&parts.headers) else {
            let detail = "this path needs the header Authorization: Bearer TOKEN";
            return Err(unauthorized("token-missing", detail, "Bearer"));
        };
        if !App::from_ref(state).admits(token) {
            let challenge = r#"Bearer error="invalid_token""#;
            return Err(unauthorized("token-invalid", "the token is not known here", challenge));
        }
        Ok(Self { clinic: ClinicId::DEFAULT, name: "administrator".to_owned() })
    }
}

fn unauthorized(code: &'static str, detail: &str, challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// The token of `Authorization: Bearer TOKEN`; the scheme's case does not count (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn the_scheme_is_read_without_regard_to_case() {
        assert_eq!(shown("Bearer secret").as_deref(), Some("secret"));
        assert_eq!(shown("bearer  secret").as_deref(), Some("secret"));
        assert_eq!(shown("BEARER secret").as_deref(), Some("secret"));
    }

    #[test]
    fn another_scheme_or_an_empty_token_is_no_token() {
        for value in ["Basic c2VjcmV0", "Bearer", "Bearer ", "secret"] {
            assert_eq!(shown(value), None, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
