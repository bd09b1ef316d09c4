//! Which services there are.

use std::collections::BTreeMap;

use axum::response::Response;
use gate::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::cors::open;

/// The hooks that are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// A record is opened.
    PatientView,
    /// An order is chosen.
    OrderSelect,
    /// Orders are about to be signed.
    OrderSign,
}

impl Hook {
    const ALL: [Self; 3] = [Self::PatientView, Self::OrderSelect, Self::OrderSign];

    /// Its name, as the specification has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PatientView => "patient-view",
            Self::OrderSelect => "order-select",
            Self::OrderSign => "order-sign",
        }
    }

    /// The id of the service that hears it.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::PatientView => "medilink-patient-view",
            Self::OrderSelect => "medilink-order-select",
            Self::OrderSign => "medilink-order-sign",
        }
    }

    /// The hook of a service.
    pub(crate) fn of_service(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.service() == id)
    }

    fn described(self) -> Service {
        let (title, description) = match self {
            Self::PatientView => (
                "Medication of a patient",
                "What of the medication does not go together with itself, with allergies, conditions and circumstances.",
            ),
            Self::OrderSelect => (
                "A chosen order",
                "What a chosen medication does not go together with: the other medication, allergies, conditions.",
            ),
            Self::OrderSign => (
                "Orders to be signed",
                "What ordered medication does not go together with: the other medication, allergies, conditions.",
            ),
        };
        Service {
            hook: self.as_str(),
            title,
            description,
            id: self.service(),
            prefetch: PREFETCH.into_iter().collect(),
            usage_requirements: "What does not come with the request is reported as not checked: nothing is fetched.",
        }
    }
}

/// What is wished for, as templates (CDS Hooks 2.0, «Prefetch Template»); codes are LOINC: body weight, glomerular filtration
/// rate, pregnancy status, lactation status.
const PREFETCH: [(&str, &str); 6] = [
    ("patient", "Patient/{{context.patientId}}"),
    ("conditions", "Condition?patient={{context.patientId}}"),
    ("allergies", "AllergyIntolerance?patient={{context.patientId}}"),
    ("medications", "MedicationStatement?patient={{context.patientId}}&status=active"),
    ("requests", "MedicationRequest?patient={{context.patientId}}&status=active"),
    (
        "observations",
        "Observation?patient={{context.patientId}}&code=http://loinc.org|29463-7,http://loinc.org|33914-3,\
         http://loinc.org|48642-3,http://loinc.org|62238-1,http://loinc.org|98979-8,http://loinc.org|82810-3,\
         http://loinc.org|63895-7",
    ),
];

/// All services.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Discovery {
    services: Vec<Service>,
}

/// One service.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Service {
    hook: &'static str,
    title: &'static str,
    description: &'static str,
    id: &'static str,
    #[schema(value_type = Object)]
    prefetch: BTreeMap<&'static str, &'static str>,
    usage_requirements: &'static str,
}

/// `GET /cds-services`
pub(crate) async fn discover() -> Response {
    open(Json(Discovery { services: Hook::ALL.into_iter().map(Hook::described).collect() }))
}
