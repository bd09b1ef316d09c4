//! The FHIR R4 Bundle: the patient, what is stated about them, their studies.

use clinical::fhir;
use serde_json::{Value, json};
use storage::records::patient::{Patient, studies_of};
use storage::records::statement::{self, Mistakes};

use super::{Export, ExportError, Outlet, PAGE};

/// The Bundle page by page: what [`Pages::next`] gives, one after the other, is its text.
pub(super) struct Pages<'a> {
    export: &'a Export,
    part: Part,
}

#[derive(Clone, Copy)]
enum Part {
    Patient,
    Statements(Option<clinical::id::StatementId>),
    Studies(Option<clinical::id::StudyId>),
    End,
    Nothing,
}

impl<'a> Pages<'a> {
    pub(super) fn of(export: &'a Export) -> Self {
        Self { export, part: Part::Patient }
    }

    /// The next piece of text; `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<String>, ExportError> {
        let Export { app, clinic, patient, .. } = self.export;
        let (clinic, patient) = (*clinic, *patient);
        if let Part::End | Part::Nothing = self.part {
            let text = matches!(self.part, Part::End).then(|| "]}\n".to_owned());
            self.part = Part::Nothing;
            return Ok(text);
        }
        let mut rows = app.db.of(clinic).read().await?;
        let resources: Vec<Value> = match self.part {
            Part::Patient => {
                self.part = Part::Statements(None);
                let found = Patient::find(&mut rows, clinic, patient).await?;
                let head = json!({
                    "resourceType": "Bundle", "type": "collection", "timestamp": app.clock.now(),
                });
                let head = head.to_string();
                let first = entry(fhir::patient(&(&found).into()));
                return Ok(Some(format!("{},\"entry\":[{first}", head.trim_end_matches('}'))));
            }
            Part::Statements(after) => {
                let shown = Mistakes::Shown;
                let page =
                    statement::of_patient(&mut rows, clinic, patient, None, shown, after, PAGE).await?;
                self.part = match page.last() {
                    Some(last) => Part::Statements(Some(last.statement_id)),
                    None => Part::Studies(None),
                };
                page.iter().map(fhir::statement).collect()
            }
            Part::Studies(after) => {
                let page = studies_of(&mut rows, clinic, patient, after, PAGE).await?;
                self.part = match page.last() {
                    Some(last) => Part::Studies(Some(last.study_id)),
                    None => Part::End,
                };
                page.iter().map(fhir::imaging_study).collect()
            }
            Part::End | Part::Nothing => Vec::new(),
        };
        Ok(Some(resources.into_iter().map(|resource| format!(",\n{}", entry(resource))).collect()))
    }
}

/// An entry of a Bundle that stands for itself: its resources name one another by UUID (FHIR R4, section 2.36.4.1).
fn entry(mut resource: Value) -> Value {
    let full_url = format!("urn:uuid:{}", resource["id"].as_str().unwrap_or_default());
    for element in ["patient", "subject"] {
        let named = resource.pointer(&format!("/{element}/reference")).and_then(Value::as_str);
        if let Some(id) = named.and_then(|reference| reference.strip_prefix("Patient/")) {
            resource[element]["reference"] = format!("urn:uuid:{id}").into();
        }
    }
    json!({"fullUrl": full_url, "resource": resource})
}

/// Sends the Bundle as it is read.
pub(super) async fn send(export: &Export, outlet: &Outlet) -> Result<(), ExportError> {
    let mut pages = Pages::of(export);
    while let Some(text) = pages.next().await? {
        if !text.is_empty() {
            outlet.send(text).await?;
        }
    }
    Ok(())
}
