//! PhonePe's webhooks: `X-VERIFY` is the SHA-256 of the encoded response and the salt.
//!
//! No time is signed and no event has an identifier: see [`crate::provider::razorpay::webhook`] for what follows.
//!
//! Source: <https://developer.phonepe.com/v1/reference/server-to-server-callback>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::Deserialize;

use super::answers::Response;
use super::{PhonePe, reference_of};
use crate::provider::wire::signature;
use crate::provider::{ProviderEvent, Subject, WebhookError};

#[derive(Deserialize)]
struct Envelope {
    response: String,
}

/// What a webhook told, if it is signed with the account's salt and of its index.
pub(super) fn verify(
    account: &PhonePe,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<ProviderEvent, WebhookError> {
    let header = headers.get("x-verify").and_then(|value| value.to_str().ok());
    let (hex, index) = header.and_then(|text| text.split_once("###")).ok_or(WebhookError::NotSigned)?;
    if hex.len() != 64 || index.len() > 16 {
        return Err(WebhookError::NotSigned);
    }
    let envelope: Envelope = serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
    let expected = account.x_verify(&envelope.response, "");
    let told = format!("{}###{index}", hex.to_ascii_lowercase());
    if aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), told.as_bytes()).is_err() {
        return Err(WebhookError::WrongSignature);
    }
    let plain = STANDARD.decode(&envelope.response).map_err(|_| WebhookError::Malformed)?;
    let response: Response = serde_json::from_slice(&plain).map_err(|_| WebhookError::Malformed)?;
    let kind = crate::provider::wire::word(Some(response.code()));
    let data = response.data.unwrap_or_default();
    if data.merchant_id.as_deref().is_some_and(|merchant| merchant != account.merchant_id) {
        return Err(WebhookError::OtherAccount);
    }
    let name = data.merchant_transaction_id.unwrap_or_default();
    let subject = match (reference_of(&name, 'p'), reference_of(&name, 'r')) {
        (Some(_), _) => Subject::Payment(name),
        (_, Some(reference)) => Subject::Refund(reference),
        (None, None) => Subject::Nothing,
    };
    Ok(ProviderEvent {
        event_id: signature::sha256(&[envelope.response.as_bytes()]),
        kind,
        subject,
        account: data.merchant_id,
        happened_at: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::provider::phonepe::{PhonePeSettings, payment_name, refund_name};
    use crate::provider::{Secret, Wire};

    /// Made once: a client of HTTPS reads the certificates of the machine.
    static ACCOUNT: LazyLock<PhonePe> = LazyLock::new(|| {
        let settings = PhonePeSettings {
            merchant_id: "CLINIC".to_owned(),
            salt_key: Secret::new("salt"),
            salt_index: "2".to_owned(),
            base_url: PhonePe::BASE_URL.to_owned(),
        };
        PhonePe::new(settings, &Wire::new().unwrap()).unwrap()
    });

    fn send(told: &Value, salt: &str, index: &str) -> Result<ProviderEvent, WebhookError> {
        let response = STANDARD.encode(told.to_string());
        let tag = signature::sha256(&[response.as_bytes(), salt.as_bytes()]);
        let mut headers = HeaderMap::new();
        headers.insert("x-verify", format!("{tag}###{index}").parse().unwrap());
        verify(&ACCOUNT, &headers, json!({ "response": response }).to_string().as_bytes())
    }

    #[test]
    fn a_payment_and_a_refund_are_told_apart_by_their_names() {
        let id = Uuid::now_v7();
        let data = |name: String| json!({"merchantId": "CLINIC", "merchantTransactionId": name});
        let told = |name: String| json!({"code": "PAYMENT_SUCCESS", "data": data(name)});
        let payment = send(&told(payment_name(id)), "salt", "2").unwrap();
        assert_eq!(payment.subject, Subject::Payment(payment_name(id)));
        assert_eq!(send(&told(refund_name(id)), "salt", "2").unwrap().subject, Subject::Refund(id));
        assert_eq!(send(&told("other".to_owned()), "salt", "2").unwrap().subject, Subject::Nothing);
    }

    #[test]
    fn another_salt_index_or_merchant_is_refused() {
        let told = json!({"code": "PAYMENT_SUCCESS", "data": {"merchantId": "OTHER"}});
        assert_eq!(send(&told, "pepper", "2"), Err(WebhookError::WrongSignature));
        assert_eq!(send(&told, "salt", "1"), Err(WebhookError::WrongSignature));
        assert_eq!(send(&told, "salt", "2"), Err(WebhookError::OtherAccount));
    }

    proptest! {
        #[test]
        fn no_header_and_no_body_make_it_panic(
            header in "[ -~]{0,90}",
            body in "(\\{\"response\":\")?[ -~]{0,80}(\"\\})?",
        ) {
            let mut headers = HeaderMap::new();
            headers.insert("x-verify", header.parse().unwrap());
            prop_assert!(verify(&ACCOUNT, &headers, body.as_bytes()).is_err());
        }

        #[test]
        fn a_signed_response_of_any_kind_makes_no_panic(text in ".{0,80}") {
            let _ = send(&Value::String(text), "salt", "2").is_ok();
        }
    }
}
