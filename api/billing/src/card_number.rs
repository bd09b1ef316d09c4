//! No card number comes in: a body with one in any field is refused before anything looks at it, and none is kept.

use axum::extract::{FromRequest, Request};
use clinical::invalid::invalid;
use gate::{Json, Problem};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest card number, in digits.
const LONGEST: usize = 19;

/// A JSON body without a card number.
///
/// As [`gate::Json`]; beyond it 422 `card-number-refused`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(raw) = Json::<Box<RawValue>>::from_request(request, state).await?;
        let unreadable =
            |_| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-json", "the body does not read");
        let value: Value = serde_json::from_str(raw.get()).map_err(unreadable)?;
        if holds_card_number(&value) {
            let rule = "holds what looks like a card number: use the provider's form, and its token here";
            return Err(Problem::invalid("card-number-refused", vec![invalid("body", rule)]));
        }
        let read = axum::Json::<T>::from_bytes(raw.get().as_bytes());
        read.map(|axum::Json(body)| Self(body)).map_err(Problem::from)
    }
}

/// Whether some text or number in `value` could be a card's; serde's own bound on depth has held already.
fn holds_card_number(value: &Value) -> bool {
    match value {
        Value::String(text) => is_in(text),
        Value::Number(number) => is_in(&number.to_string()),
        Value::Array(values) => values.iter().any(holds_card_number),
        Value::Object(members) => members.iter().any(|(name, value)| is_in(name) || holds_card_number(value)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// Whether 13 to 19 digits that begin and end where a group of digits does, blanks and hyphens between groups aside, pass
/// the check of ISO/IEC 7812-1 and begin as card numbers do. Telephone numbers with their plus and UUIDs are none.
fn is_in(text: &str) -> bool {
    if uuid::Uuid::try_parse(text).is_ok() {
        return false;
    }
    let is_between = |c: char| matches!(c, ' ' | '-');
    text.split(|c: char| !c.is_ascii_digit() && !is_between(c) && c != '+').any(|run| {
        let run = run.trim_start_matches(is_between);
        let is_telephone = run.starts_with('+');
        let groups: Vec<_> = run.split(|c: char| !c.is_ascii_digit()).filter(|it| !it.is_empty()).collect();
        !is_telephone && (0..groups.len()).any(|first| begins_card_number(&groups[first..]))
    })
}

/// Whether some of `groups`, from the first one on, are a card number together.
fn begins_card_number(groups: &[&str]) -> bool {
    let mut digits = Vec::with_capacity(LONGEST);
    for group in groups {
        if digits.len() + group.len() > LONGEST {
            return false;
        }
        digits.extend(group.bytes().map(|byte| u32::from(byte - b'0')));
        if is_card_number(&digits) {
            return true;
        }
    }
    false
}

fn is_card_number(digits: &[u32]) -> bool {
    (13..=LONGEST).contains(&digits.len()) && begins_as_one(digits) && luhn(digits).is_multiple_of(10)
}

/// Of the numbers that begin with a two only those from 2221 to 2720 are cards; a date begins so too.
fn begins_as_one(digits: &[u32]) -> bool {
    match digits[0] {
        2 => (2_221..=2_720).contains(&digits[..4].iter().fold(0, |all, digit| all * 10 + digit)),
        first => (3..=6).contains(&first),
    }
}

/// Luhn's sum: every second digit from the right counts double, and then its digits.
fn luhn(digits: &[u32]) -> u32 {
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let places = digits.iter().rev().enumerate();
    places.map(|(place, digit)| if place % 2 == 1 { doubled(*digit) } else { *digit }).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Numbers that Stripe's documentation gives for tests: Visa, Mastercard, American Express, Diners.
    #[test]
    fn a_card_number_is_seen_wherever_it_stands() {
        for number in ["4242424242424242", "5555 5555 5555 4444", "3782-822463-10005", "36227206271667"] {
            assert!(
                holds_card_number(&json!({"metadata": [{"note": format!("card {number}, thanks")}]})),
                "{number}"
            );
        }
        for text in [
            "4242424242424242 12/27",
            "4242 4242 4242 4242 123",
            "visit 12 4242424242424242",
            "2026-11-22 4242-4242-4242-4242",
            "2223 0031 2200 3222",
        ] {
            assert!(holds_card_number(&json!({"text": text})), "{text}");
        }
        assert!(holds_card_number(&json!({"card": 4_242_424_242_424_242_u64})));
        assert!(holds_card_number(&json!({"4242424242424242": 1})));
    }

    #[test]
    fn what_is_none_passes() {
        for text in [
            "4242424242424241",
            "pm_1MqLiJLkdIwHu7ixUEgbFdYF",
            "+4242424242424242",
            "2026-11-22T04:00:00Z",
            "2026-11-22 2026-11-18",
            "from 12 to 4242",
            "42424242-4242-4242-8242-424242424242",
            "123456789012",
        ] {
            assert!(!holds_card_number(&json!({"text": text})), "{text}");
        }
        assert!(!holds_card_number(&json!({"amount": 15_000, "none": null, "is": true})));
    }
}
