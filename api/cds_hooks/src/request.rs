//! What a hook's request carries.

use clinical::decision::NotChecked;
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

    /// What was fetched under a name: the resources of `kind` out of a Bundle, or the one resource; what is missing, cut off or
    /// of another kind is noted.
    pub(crate) fn fetched(&self, name: &str, kind: &str, not_checked: &mut Vec<NotChecked>) -> Vec<&Value> {
        let mut note = |why: String| not_checked.push(NotChecked { what: name.to_owned(), why });
        let value =
            self.prefetch.as_ref().and_then(|prefetch| prefetch.get(name)).filter(|it| it.is_object());
        // A server that failed sends an OperationOutcome instead of what was asked for.
        let Some(value) = value.filter(|value| value["resourceType"] != "OperationOutcome") else {
            note(format!("prefetch.{name} was not sent"));
            return Vec::new();
        };
        let sent = resources(value);
        if sent.is_cut {
            note(format!("of prefetch.{name} only a part was sent, or read: {MOST_ENTRIES} entries at most"));
        }
        if sent.bare > 0 {
            note(format!("{} of the entries of prefetch.{name} hold no resource", sent.bare));
        }
        let all = sent.resources.len();
        let of_kind: Vec<&Value> =
            sent.resources.into_iter().filter(|resource| resource["resourceType"] == kind).collect();
        if of_kind.len() < all {
            note(format!("{} of the entries of prefetch.{name} are no {kind}", all - of_kind.len()));
        }
        of_kind
    }

    /// The orders that are looked at, each with the reference by which the client knows it; what is no medication, and what was
    /// chosen and is not there, is noted.
    pub(crate) fn orders(&self, hook: Hook, not_checked: &mut Vec<NotChecked>) -> Vec<(String, &Value)> {
        let mut note = |why: String| not_checked.push(NotChecked { what: "draftOrders".to_owned(), why });
        let chosen: Option<Vec<&str>> = (hook == Hook::OrderSelect).then(|| {
            let selections = self.context.get("selections").and_then(Value::as_array);
            selections.into_iter().flatten().filter_map(Value::as_str).collect()
        });
        let drafts = self.context.get("draftOrders").map(resources).unwrap_or_default();
        let count = drafts.resources.len();
        let named: Vec<(String, &Value)> = drafts
            .resources
            .into_iter()
            .filter(|resource| resource["resourceType"] == "MedicationRequest")
            .map(|resource| {
                (format!("MedicationRequest/{}", resource["id"].as_str().unwrap_or("")), resource)
            })
            .collect();
        let others = count - named.len() + drafts.bare;
        if others > 0 {
            note(format!("{others} of the orders are no MedicationRequest, and were not looked at"));
        }
        let Some(chosen) = chosen else { return named };
        let is_named = |reference: &&str| named.iter().any(|(name, _)| name == reference);
        let absent = chosen.iter().filter(|reference| !is_named(reference)).count();
        if absent > others {
            note(format!("{} of the chosen orders are not among draftOrders", absent - others));
        }
        named.into_iter().filter(|(reference, _)| chosen.contains(&reference.as_str())).collect()
    }
}

/// What a Bundle brings.
#[derive(Default)]
struct Sent<'a> {
    resources: Vec<&'a Value>,
    /// There is more than was read, or than was sent.
    is_cut: bool,
    /// So many entries hold nothing.
    bare: usize,
}

/// The resources of a Bundle, or the one resource that it is.
fn resources(value: &Value) -> Sent<'_> {
    if value["resourceType"] != "Bundle" {
        return Sent { resources: vec![value], ..Sent::default() };
    }
    let entries = value["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    let read = &entries[..entries.len().min(MOST_ENTRIES)];
    let resources: Vec<&Value> =
        read.iter().map(|entry| &entry["resource"]).filter(|resource| resource.is_object()).collect();
    // A page of several names the next one (FHIR R4, 3.1.1.4, «Paging»).
    let has_next = value["link"].as_array().into_iter().flatten().any(|link| link["relation"] == "next");
    Sent { is_cut: has_next || read.len() < entries.len(), bare: read.len() - resources.len(), resources }
}
