//! JSON Merge Patch (RFC 7396) over what a client may set; a name that stands twice is refused.

use std::fmt;

use gate::Problem;
use http::StatusCode;
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value, json};
use utoipa::ToSchema;

/// A merge patch: an object in which every name stands once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Patch(Map<String, Value>);

impl Patch {
    /// `before` with what the patch changes.
    ///
    /// # Errors
    ///
    /// 422 `invalid-json` when what comes out is not what the path takes.
    pub(crate) fn over<T: Serialize + DeserializeOwned>(self, before: &T) -> Result<T, Problem> {
        let invalid = |error: serde_json::Error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-json", error.to_string())
        };
        let mut target = serde_json::to_value(before).map_err(invalid)?;
        merge(&mut target, Value::Object(self.0));
        serde_json::from_value(target).map_err(invalid)
    }
}

/// RFC 7396, section 2; the parser has bounded the depth.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// The schema of a patch of `T`: the same members, of which none is required and any may be `null`.
pub(crate) fn schema<T: ToSchema>() -> Value {
    let mut schema = json!(T::schema());
    if let Some(members) = schema.as_object_mut() {
        members.remove("required");
    }
    if let Some(properties) = schema["properties"].as_object_mut() {
        for property in properties.values_mut() {
            *property = json!({"anyOf": [property.take(), {"type": "null"}]});
        }
    }
    schema
}

impl<'de> Deserialize<'de> for Patch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Strict::deserialize(deserializer)?.0 {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(D::Error::custom("a merge patch is an object")),
        }
    }
}

/// A value in which no object has a name twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Strict(value))) = entries.next_entry::<String, _>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice in one object"));
            }
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7396, appendix A, whose patches are objects.
    #[test]
    fn the_examples_of_the_standard_merge_as_it_says() {
        for (before, patch, after) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut target = before.clone();
            merge(&mut target, patch.clone());
            assert_eq!(target, after, "{before} with {patch}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth() {
        for text in
            [r#"{"a": 1, "a": 2}"#, r#"{"a": {"b": 1, "b": 1}}"#, r#"{"a": [{"b": 1, "b": 1}]}"#, "[]", "1"]
        {
            assert!(serde_json::from_str::<Patch>(text).is_err(), "{text}");
        }
        let patch: Patch = serde_json::from_str(r#"{"a": [1, -1, 0.5, "x", true, null, {}]}"#).unwrap();
        assert_eq!(Value::Object(patch.0), json!({"a": [1, -1, 0.5, "x", true, null, {}]}));
    }

    #[test]
    fn what_comes_out_must_be_what_the_path_takes() {
        let name = clinical::person::PersonName::from_dicom("Test^Ada");
        let patch = |text: &str| serde_json::from_str::<Patch>(text).unwrap().over(&name);
        assert_eq!(patch(r#"{"given": null}"#).unwrap().to_dicom(), "Test");
        assert_eq!(patch(r#"{"nick": "A"}"#).unwrap_err().code(), "invalid-json");
        assert_eq!(patch(r#"{"given": 1}"#).unwrap_err().status().as_u16(), 422);
    }
}
