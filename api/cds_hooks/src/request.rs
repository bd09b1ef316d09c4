//! What a hook's request carries.

use clinical::invalid::{Invalid, invalid};
use gate::Problem;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::discovery::Hook;

/// A bundle is read up to so many entries.
pub(crate) const MOST_ENTRIES: usize = 500;

/// A request (CDS Hooks 2.0, «HTTP Request»); members that the specification does not name are passed by.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HookRequest {
    /// The hook.
    pub hook: String,
    /// Which triggering it is.
    pub hook_instance: Uuid,
    /// Where the client's FHIR server is; it is not asked.
    pub fhir_server: Option<String>,
    /// How it could be asked.
    #[schema(value_type = Option<Object>)]
    pub fhir_authorization: Option<Map<String, Value>>,
    /// What the hook is about.
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// What was fetched beforehand.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub prefetch: Option<Map<String, Value>>,
}

impl HookRequest {
    /// Holds it to what the hook's context must have.
    ///
    /// # Errors
    ///
    /// 422 `invalid-request`, with each member.
    pub(crate) fn check(&self, hook: Hook) -> Result<(), Problem> {
        let mut faults: Vec<Invalid> = Vec::new();
        let mut hold = |holds: bool, member, rule| {
            if !holds {
                faults.push(invalid(member, rule));
            }
        };
        hold(self.hook == hook.as_str(), "hook", "is the hook of this service");
        hold(
            self.fhir_authorization.is_none() || self.fhir_server.is_some(),
            "fhirServer",
            "stands where fhirAuthorization does",
        );
        let text =
            |name: &str| self.context.get(name).and_then(Value::as_str).is_some_and(|it| !it.is_empty());
        hold(text("userId"), "context.userId", "names who is at work");
        hold(text("patientId"), "context.patientId", "names the patient");
        if hook != Hook::PatientView {
            let bundle = self.context.get("draftOrders");
            let is_bundle = bundle.is_some_and(|it| it["resourceType"] == "Bundle");
            hold(is_bundle, "context.draftOrders", "is a Bundle");
            let entries = bundle.and_then(|it| it["entry"].as_array()).map_or(0, Vec::len);
            hold(entries <= MOST_ENTRIES, "context.draftOrders", "has at most 500 entries");
        }
        if hook == Hook::OrderSelect {
            let is_list = self.context.get("selections").is_some_and(Value::is_array);
            hold(is_list, "context.selections", "is the list of the orders that were chosen");
        }
        if faults.is_empty() { Ok(()) } else { Err(Problem::invalid("invalid-request", faults)) }
    }

    /// What was fetched under a name: the resources of a Bundle, or the one resource; `None` where the client sent nothing.
    pub(crate) fn fetched(&self, name: &str) -> Option<Vec<&Value>> {
        let value = self.prefetch.as_ref()?.get(name).filter(|value| !value.is_null())?;
        Some(resources(value))
    }

    /// The orders that are looked at, each with the reference by which the client knows it.
    pub(crate) fn orders(&self, hook: Hook) -> Vec<(String, &Value)> {
        let chosen: Option<Vec<&str>> = (hook == Hook::OrderSelect).then(|| {
            let selections = self.context.get("selections").and_then(Value::as_array);
            selections.into_iter().flatten().filter_map(Value::as_str).collect()
        });
        let drafts = self.context.get("draftOrders").map(resources).unwrap_or_default();
        drafts
            .into_iter()
            .filter(|resource| resource["resourceType"] == "MedicationRequest")
            .map(|resource| {
                (format!("MedicationRequest/{}", resource["id"].as_str().unwrap_or("")), resource)
            })
            .filter(|(reference, _)| {
                chosen.as_ref().is_none_or(|chosen| chosen.contains(&reference.as_str()))
            })
            .collect()
    }
}

/// The resources of a Bundle, or the one resource that it is.
fn resources(value: &Value) -> Vec<&Value> {
    if value["resourceType"] == "Bundle" {
        let entries = value["entry"].as_array();
        let entries = entries.into_iter().flatten().take(MOST_ENTRIES);
        return entries.map(|entry| &entry["resource"]).filter(|resource| resource.is_object()).collect();
    }
    vec![value]
}
