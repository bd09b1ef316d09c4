//! The rows of an instance whose bytes are written: one transaction, with its event and what it asks for.

use chrono::{DateTime, Utc};
use clinical::event::{Event, SeriesBegun};
use clinical::id::{InstanceId, StudyId};
use clinical::job::Job;
use storage::db::{DbError, Tx};
use storage::records::instance::{Inserted, Instance, InstanceFacts, Version};
use storage::records::instance_metadata::InstanceMetadata;
use storage::records::patient::Patient;
use storage::records::rejection;
use storage::records::series::Series;
use storage::records::study::Study;
use storage::{outbox, queue};

use super::way::Way;
use super::{Arrival, Disposition, Hall, OnConflict, Origin, Outcome, ReceiveError, Received};
use crate::forward;
use crate::identity::Identity;
use crate::spool::Spooled;

impl Hall {
    pub(super) async fn write_rows(
        &self,
        arrival: &Arrival,
        blob_key: &str,
        spooled: &Spooled,
    ) -> Result<Outcome, ReceiveError> {
        let now = self.clock.now();
        let (clinic, identity) = (arrival.receipt.clinic, &arrival.identity);
        let facts = arrival.instance_facts(blob_key);
        let destinations = self.rules.destinations(clinic, arrival.seen()).await?;
        let mut tx = self.db.begin().await?;
        let Identity { study_uid, series_uid, .. } = &**identity;
        let note = arrival.facts.note.as_ref().filter(|_| arrival.receipt.may_reject);
        match note {
            Some(note) => {
                let named = note.instances.iter().map(|(study, _)| study);
                rejection::wait_to_remove(&mut tx, clinic, named.chain([study_uid])).await?;
            }
            None => rejection::wait_to_store(&mut tx, clinic, study_uid).await?,
        }
        let mut inserted = Instance::insert(&mut tx, clinic, study_uid, series_uid, &facts, now).await?;
        let (mut way, has_made_place) = (Way::default(), inserted.is_none());
        if inserted.is_none() {
            way = self.make_way(&mut tx, arrival).await?;
            if let Some(hidden) = way.hidden {
                let Inserted { instance_id, study_id, patient_id } = hidden;
                let again = Disposition::AlreadyStored;
                let received = arrival.received(instance_id, study_id, patient_id, again, now);
                // What hides it may be another's that shares this commit and is not on disk yet.
                tx.commit().await?;
                return Ok(Outcome { received, is_named: false });
            }
            self.make_place(&mut tx, arrival, now).await?;
            inserted = Instance::insert(&mut tx, clinic, study_uid, series_uid, &facts, now).await?;
        }
        let Some(Inserted { instance_id, study_id, patient_id }) = inserted else {
            // The study and series that were made for it go with this transaction.
            if way.is_restored {
                tx.commit().await?
            } else {
                drop(tx)
            }
            if let Some(received) = self.known(arrival, spooled).await? {
                return Ok(Outcome { received, is_named: false });
            }
            let received = self.settle_conflict(arrival, &facts, now).await?;
            return Ok(Outcome { is_named: received.disposition != Disposition::AlreadyStored, received });
        };
        self.keep_metadata(&mut tx, arrival, instance_id).await?;
        if let Some(note) = note {
            let applied = rejection::apply(&mut tx, clinic, note, &identity.sop_uid, now).await?;
            if applied.locked > 0 {
                tracing::warn!(
                    studies = applied.locked,
                    "a rejection note names locked studies, and leaves them"
                );
            }
            for (study_id, tombstone_id) in applied.raised {
                let rejected = Event::InstancesRemoved { study_id, tombstone_id };
                outbox::tell(&mut tx, clinic, &rejected, now).await?;
            }
        }
        if let Some(tombstone) = way.hidden_by {
            let instance = (instance_id, &identity.sop_uid);
            rejection::hide_again(&mut tx, clinic, study_uid, instance, tombstone, now).await?;
            tx.commit().await?;
            let received = arrival.received(instance_id, study_id, patient_id, Disposition::Stored, now);
            return Ok(Outcome { received, is_named: true });
        }
        let begins = has_made_place.then(|| SeriesBegun {
            patient_id,
            modality: arrival.facts.series.modality.clone(),
            is_own_result: arrival.receipt.origin == Origin::OwnResult,
        });
        let stored = Event::InstanceStored { study_id, instance_id, begins };
        outbox::tell(&mut tx, clinic, &stored, now).await?;
        self.ask_for_analysis(&mut tx, arrival, study_id, now).await?;
        let place = (clinic, study_id, instance_id);
        forward::ask(&mut tx, place, &destinations, now, self.settings.quiet).await?;
        tx.commit().await?;
        tracing::debug!(instance.id = %instance_id, sop_class = %identity.sop_class_uid, "instance stored");
        let received = arrival.received(instance_id, study_id, patient_id, Disposition::Stored, now);
        Ok(Outcome { received, is_named: true })
    }

    /// Makes what is missing of patient, study and series.
    async fn make_place(&self, tx: &mut Tx, arrival: &Arrival, now: DateTime<Utc>) -> Result<(), DbError> {
        let Identity { study_uid, series_uid, .. } = &*arrival.identity;
        let clinic = arrival.receipt.clinic;
        let patient = Patient::ensure(tx, clinic, &arrival.facts.patient, study_uid, now).await?;
        let study = Study::ensure(tx, clinic, patient, study_uid, &arrival.facts.study, now).await?;
        Series::ensure(tx, clinic, study, series_uid, &arrival.facts.series, now).await
    }

    /// Keeps the data set as it will be asked for, unless it is too long to be kept.
    async fn keep_metadata(
        &self,
        tx: &mut Tx,
        arrival: &Arrival,
        instance: InstanceId,
    ) -> Result<(), DbError> {
        let Some(metadata) = &arrival.metadata else { return Ok(()) };
        InstanceMetadata::keep(tx, arrival.receipt.clinic, instance, &arrival.sha256, metadata).await
    }

    /// Objects with pixels from a sender are analysed once their study is quiet.
    async fn ask_for_analysis(
        &self,
        tx: &mut Tx,
        arrival: &Arrival,
        study_id: StudyId,
        now: DateTime<Utc>,
    ) -> Result<(), DbError> {
        if arrival.receipt.origin == Origin::OwnResult || arrival.facts.frame_count.is_none() {
            return Ok(());
        }
        let job = Job::AnalyzeStudy { study_id };
        queue::put_off(tx, arrival.receipt.clinic, &job, now, self.settings.quiet).await
    }

    /// The UID was taken between the first look and the insert, or holds other bytes.
    ///
    /// What is read here may be another's that shares the commit and is not on disk yet: nothing is answered
    /// before that commit.
    async fn settle_conflict(
        &self,
        arrival: &Arrival,
        facts: &InstanceFacts,
        now: DateTime<Utc>,
    ) -> Result<Received, ReceiveError> {
        let (clinic, identity) = (arrival.receipt.clinic, &arrival.identity);
        let destinations = self.rules.destinations(clinic, arrival.seen()).await?;
        let mut tx = self.db.begin().await?;
        let known = Instance::by_uid(&mut tx, clinic, &identity.sop_uid).await?.ok_or(DbError::NotFound)?;
        if known.sha256 == facts.sha256 {
            tx.commit().await?;
            return Ok(Received::known(known, Disposition::AlreadyStored));
        }
        // Under another study or series the newcomer is not the same instance grown newer: it is kept aside.
        let is_in_place = known.study_uid == identity.study_uid && known.series_uid == identity.series_uid;
        let disposition = match self.settings.on_conflict {
            OnConflict::Reject => {
                tx.commit().await?;
                return Err(ReceiveError::Conflict(identity.clone()));
            }
            OnConflict::Replace if is_in_place => {
                Version::replace(&mut tx, clinic, known.instance_id, facts, now).await?;
                self.keep_metadata(&mut tx, arrival, known.instance_id).await?;
                self.ask_for_analysis(&mut tx, arrival, known.study_id, now).await?;
                let place = (clinic, known.study_id, known.instance_id);
                forward::ask(&mut tx, place, &destinations, now, self.settings.quiet).await?;
                Disposition::Replaced
            }
            OnConflict::Replace | OnConflict::Keep => {
                if !Version::keep_aside(&mut tx, clinic, known.instance_id, facts, now).await? {
                    tx.commit().await?;
                    return Ok(Received::known(known, Disposition::AlreadyStored));
                }
                Disposition::KeptAside
            }
        };
        let event = Event::InstanceVersioned { study_id: known.study_id, instance_id: known.instance_id };
        outbox::tell(&mut tx, clinic, &event, now).await?;
        tx.commit().await?;
        Ok(Received {
            sop_class_uid: identity.sop_class_uid.clone(),
            stored_at: now,
            ..Received::known(known, disposition)
        })
    }
}
