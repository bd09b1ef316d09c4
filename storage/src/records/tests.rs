//! Every list that can grow long is read along an index, from its real statement on both engines: a page costs the
//! same of a thousand rows and of a million.

use clinical::id::{
    AnalysisId, AssessmentId, AuditId, ClinicId, FindingId, GrantId, PatientId, StatementId, StudyId,
    TombstoneId, UserId, WebhookId,
};
use clinical::imaging::ReviewState;
use clinical::role::Resource;
use uuid::Uuid;

use super::analysis::Analysis;
use super::assessment::{Assessment, AssessmentFilter, IssueOverride};
use super::cds_client::CdsFeedback;
use super::finding::{Finding, FindingFilter, Superseded};
use super::forward::ForwardRule;
use super::patient::{Grant, Patient, PatientFilter, Shown, Sight};
use super::peer::DicomPeer;
use super::quarantine::Held;
use super::rejection::Tombstone;
use super::roster::Rostered;
use super::statement::{self, Mistakes};
use super::user::User;
use super::webhook::delivery::{Delivery, DeliveryState};
use crate::audit::{Actor, Filter, Outcome, search};
use crate::db::Conn;
use crate::plan::assert_reads_along;
use crate::testing::{now, on_both};
use crate::{outbox, queue};

const CLINIC: ClinicId = ClinicId::DEFAULT;

#[tokio::test]
async fn patients_and_what_is_stated_of_them() {
    on_both(async |db| {
        let after = Some(PatientId(Uuid::max()));
        for sight in [Sight::Nothing, Sight::Everything] {
            assert_reads_along(&db, &["clinics_patients_newest"], async |conn: &mut Conn| {
                Patient::list(conn, CLINIC, &PatientFilter::default(), sight, after, 9).await.unwrap();
            })
            .await;
        }
        assert_reads_along(&db, &["patient_identifiers_by_value"], async |conn: &mut Conn| {
            let filter = PatientFilter { identifier: Some((None, "1".into())), ..PatientFilter::default() };
            Patient::list(conn, CLINIC, &filter, Sight::Everything, None, 9).await.unwrap();
        })
        .await;
        let patient = PatientId::new();
        for (kind, index) in
            [(Some(Resource::Vital), &["statements_of_kind"]), (None, &["statements_of_patient"])]
        {
            assert_reads_along(&db, index, async |conn: &mut Conn| {
                let after = Some(StatementId(Uuid::max()));
                statement::of_patient(conn, CLINIC, patient, kind, Mistakes::LeftOut, after, 9)
                    .await
                    .unwrap();
            })
            .await;
        }
        assert_reads_along(&db, &["break_glass_newest"], async |conn: &mut Conn| {
            Grant::list(conn, CLINIC, Some(GrantId(Uuid::max())), 9).await.unwrap();
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn findings_and_analyses() {
    on_both(async |db| {
        for shown in [Shown::Everybody, Shown::Unrestricted, Shown::OpenTo(UserId::new(), now())] {
            for (state, study, index) in [
                (None, None, &["findings_newest"]),
                (Some(ReviewState::Open), None, &["findings_newest_of_state"]),
                (None, Some(StudyId::new()), &["findings_newest_of_study"]),
            ] {
                assert_reads_along(&db, index, async |conn: &mut Conn| {
                    let after = Some(FindingId(Uuid::max()));
                    for superseded in [Superseded::LeftOut, Superseded::Listed] {
                        let filter = FindingFilter { state, study, superseded };
                        Finding::list(conn, CLINIC, filter, shown, after, 9).await.unwrap();
                    }
                })
                .await;
            }
            assert_reads_along(&db, &["analyses_newest"], async |conn: &mut Conn| {
                let after = Some(AnalysisId(Uuid::max()));
                for superseded in [Superseded::LeftOut, Superseded::Listed] {
                    Analysis::list(conn, CLINIC, superseded, shown, after, 9).await.unwrap();
                }
            })
            .await;
        }
    })
    .await;
}

#[tokio::test]
async fn assessments_overrides_and_feedback() {
    on_both(async |db| {
        for shown in [Shown::Everybody, Shown::Unrestricted, Shown::OpenTo(UserId::new(), now())] {
            for (patient, index) in
                [(None, &["assessments_newest"]), (Some(PatientId::new()), &["assessments_of_patient"])]
            {
                let filter = AssessmentFilter { patient, urgency: None };
                assert_reads_along(&db, index, async |conn: &mut Conn| {
                    let after = Some(AssessmentId(Uuid::max()));
                    Assessment::list(conn, CLINIC, &filter, shown, after, 9).await.unwrap();
                    Assessment::lines(conn, CLINIC, &filter, shown, after, 9).await.unwrap();
                })
                .await;
            }
            assert_reads_along(&db, &["issue_overrides_newest"], async |conn: &mut Conn| {
                IssueOverride::list(conn, CLINIC, shown, None, 9).await.unwrap();
            })
            .await;
        }
        assert_reads_along(&db, &["cds_feedback_newest"], async |conn: &mut Conn| {
            CdsFeedback::list(conn, CLINIC, None, 9).await.unwrap();
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn events_deliveries_and_dead_jobs() {
    on_both(async |db| {
        for (names, index) in [
            (None, ["events_by_clinic", "events_pkey"].as_slice()),
            (Some(["finding_reviewed"].as_slice()), &["events_newest_of_name"]),
        ] {
            assert_reads_along(&db, index, async |conn: &mut Conn| {
                outbox::list(conn, CLINIC, names, None, 9).await.unwrap();
            })
            .await;
        }
        let webhook = WebhookId::new();
        for (state, index) in [
            (None, &["webhook_deliveries_by_webhook"]),
            (Some(DeliveryState::Dead), &["webhook_deliveries_of_state"]),
        ] {
            assert_reads_along(&db, index, async |conn: &mut Conn| {
                Delivery::list(conn, CLINIC, webhook, state, None, 9).await.unwrap();
            })
            .await;
        }
        assert_reads_along(&db, &["jobs_dead"], async |conn: &mut Conn| {
            queue::dead_of(conn, CLINIC, None, 9).await.unwrap();
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_audit_trail() {
    on_both(async |db| {
        let all: &[&str] = &["sqlite_autoindex_audit_trail_1", "audit_trail_pkey"];
        let any = Filter::default();
        for (filter, index) in [
            (any.clone(), all),
            (Filter { from: Some(now()), to: Some(now()), ..any.clone() }, all),
            (Filter { actor: Some(Actor::System), ..any.clone() }, &["audit_by_actor"]),
            (Filter { patient_id: Some(PatientId::new()), ..any.clone() }, &["audit_by_patient"]),
            (Filter { action: Some("patient:read".into()), ..any.clone() }, &["audit_by_action"]),
            (Filter { outcome: Some(Outcome::Denied), ..any }, &["audit_by_outcome"]),
        ] {
            assert_reads_along(&db, index, async |conn: &mut Conn| {
                search(conn, CLINIC, &filter, Some(AuditId(Uuid::max())), 9).await.unwrap();
            })
            .await;
        }
    })
    .await;
}

/// Patients who sign in are users too.
#[tokio::test]
async fn the_people_of_a_clinic() {
    on_both(async |db| {
        let members = &["sqlite_autoindex_memberships_2", "memberships_clinic_id_user_id_key"];
        assert_reads_along(&db, members, async |conn: &mut Conn| {
            User::list_in(conn, CLINIC, Some(Uuid::max()), 9).await.unwrap();
        })
        .await;
        assert_reads_along(&db, &["memberships_newest"], async |conn: &mut Conn| {
            Rostered::list(conn, CLINIC, Some(Uuid::max()), 9).await.unwrap();
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_peers_and_forward_rules_of_a_clinic() {
    on_both(async |db| {
        assert_reads_along(&db, &["quarantine_newest"], async |conn: &mut Conn| {
            Held::list(conn, CLINIC, Some(Uuid::max()), 9).await.unwrap();
        })
        .await;
        let study = "1.2.3".parse().unwrap();
        for (study, index) in [(None, "tombstones_newest"), (Some(&study), "tombstones_of_study")] {
            assert_reads_along(&db, &[index], async |conn: &mut Conn| {
                Tombstone::list(conn, CLINIC, study, Some(TombstoneId(Uuid::max())), 9).await.unwrap();
            })
            .await;
        }
        assert_reads_along(&db, &["dicom_peers_newest"], async |conn: &mut Conn| {
            DicomPeer::list(conn, CLINIC, Some(Uuid::max()), 9).await.unwrap();
        })
        .await;
        assert_reads_along(&db, &["forward_rules_newest"], async |conn: &mut Conn| {
            ForwardRule::list(conn, CLINIC, Some(Uuid::max()), 9).await.unwrap();
        })
        .await;
    })
    .await;
}
