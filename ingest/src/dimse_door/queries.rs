//! The DIMSE door as an SCP of C-FIND, C-MOVE and C-GET.

use std::collections::BTreeSet;

use clinical::audit::{Actor, Entry, Outcome};
use clinical::id::{ClinicId, PatientId, StudyId};
use futures::future::try_join_all;
use serde_json::{Value, json};
use storage::db::DbError;
use storage::records::patient::Shown;
use storage::records::search::{HeldInstance, Search};

use super::answer::Asked;
use super::find::HallMatches;
use super::matching;
use super::retrieve::HallRetrieval;
use super::{DimseDoor, chain, database_failed, refused};
use crate::scp::query::{Query, QueryScp, Towards};
use crate::scp::{AeTitle, AssociationInfo, StoreStatus};
use crate::scu::Peer;

/// Most instances of one C-MOVE or C-GET: its counts have 16 bits.
const MOST_INSTANCES: u32 = 65_535;

impl DimseDoor {
    pub(super) async fn clinic_of(&self, association: &AssociationInfo) -> Result<ClinicId, StoreStatus> {
        self.clinics.of(&association.called_ae, &association.calling_ae).await.map_err(refused)
    }

    /// The row of the audit trail about what a peer has asked.
    fn asked(
        &self,
        association: &AssociationInfo,
        clinic: ClinicId,
        action: &str,
        route: &str,
        detail: Value,
    ) -> Entry {
        let actor = association.identified.as_ref().map(|it| Actor::Key(it.api_key_id));
        Entry {
            clinic_id: clinic,
            at: self.clock.now(),
            actor: actor.unwrap_or(Actor::System),
            role: None,
            session: None,
            action: action.to_owned(),
            record_id: None,
            patient_id: None,
            route: route.to_owned(),
            address: Some(association.peer.ip().to_string()),
            request_id: None,
            outcome: Outcome::Success,
            detail: Some(detail),
        }
    }

    /// One row a study: whose images go where. Nothing is sent before all are written.
    async fn write_down_retrieval(
        &self,
        association: &AssociationInfo,
        clinic: ClinicId,
        held: &[HeldInstance],
        query: &Query,
        towards: &Towards,
    ) -> Result<(), StoreStatus> {
        let studies: BTreeSet<(StudyId, PatientId)> =
            held.iter().map(|held| (held.study_id, held.patient_id)).collect();
        let mut detail = json!({ "callingAe": association.calling_ae, "level": query.level().as_str() });
        let route = match towards {
            Towards::Requestor => "C-GET",
            Towards::Destination(title) => {
                detail["destination"] = json!(title);
                "C-MOVE"
            }
        };
        let rows = studies.into_iter().map(|(study_id, patient_id)| {
            let entry = self.asked(association, clinic, "study:read", route, detail.clone());
            let entry =
                Entry { record_id: Some(study_id.to_string()), patient_id: Some(patient_id), ..entry };
            let (title, address) = (&association.calling_ae, association.peer.ip());
            let key = format!("{title}|{address}|{route}|{towards:?}|{study_id}");
            self.trail.record_once(entry, key)
        });
        try_join_all(rows).await.map(drop).map_err(|error| not_written_down(&error))
    }
}

fn not_written_down(error: &DbError) -> StoreStatus {
    tracing::error!(error = chain(error), "what was asked is not shown, for it was not written down");
    StoreStatus::new(StoreStatus::OUT_OF_RESOURCES, "audit-failed: try again")
}

impl QueryScp for DimseDoor {
    type Matches = HallMatches;
    type Retrieval = HallRetrieval;

    async fn find(&self, association: &AssociationInfo, query: &Query) -> Result<HallMatches, StoreStatus> {
        let clinic = self.clinic_of(association).await?;
        let conditions = matching::conditions(query)?;
        let keys: Vec<String> = conditions.iter().map(|(key, _)| format!("{key:?}")).collect();
        let level = query.level().as_str();
        let detail = json!({ "callingAe": association.calling_ae, "level": level, "keys": keys });
        let entry = self.asked(association, clinic, "study:list", "C-FIND", detail);
        self.trail.record(entry).await.map_err(|error| not_written_down(&error))?;
        let search = Search { conditions, shown: Shown::Unrestricted, ..Search::default() };
        let asked = Asked::by(query, association.called_ae.clone());
        Ok(HallMatches::new(self.db.of(clinic), clinic, query.level(), search, asked))
    }

    async fn retrieve(
        &self,
        association: &AssociationInfo,
        query: &Query,
        towards: &Towards,
    ) -> Result<HallRetrieval, StoreStatus> {
        let clinic = self.clinic_of(association).await?;
        let conditions = matching::unique_keys(query)?;
        let search =
            Search { conditions, shown: Shown::Unrestricted, limit: MOST_INSTANCES + 1, ..Search::default() };
        let found = async {
            let mut rows = self.db.of(clinic).read().await?;
            HeldInstance::search(&mut rows, clinic, &search).await
        };
        let held = found.await.map_err(|error| database_failed(&error))?;
        if held.len() > MOST_INSTANCES as usize {
            let comment = format!("more than {MOST_INSTANCES} instances: ask for less at a time");
            return Err(StoreStatus::new(StoreStatus::MATCHES_UNCOUNTABLE, comment));
        }
        self.write_down_retrieval(association, clinic, &held, query, towards).await?;
        Ok(self.shelves.retrieval(held))
    }

    async fn peer(&self, association: &AssociationInfo, title: &AeTitle) -> Option<Peer> {
        let clinic = self.clinic_of(association).await.ok()?;
        self.peers.of_title(clinic, title).await.unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), peer = %title, "a peer cannot be called");
            None
        })
    }
}
