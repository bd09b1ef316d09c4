use chrono::TimeDelta;
use clinical::id::{ClinicId, PatientId, StudyId, UserId};
use clinical::person::{Address, Demographics, Identifier, PersonName, Sex};
use clinical::role::Role;

use super::*;
use crate::db::Db;
use crate::records::statement::{self, Mistakes};
use crate::records::study::{Study, StudyFacts};
use crate::records::user::User;
use crate::testing::{count, instance_facts, now, on_both, place_of};

const CLINIC: ClinicId = ClinicId::DEFAULT;

pub(super) fn facts(mrn: &str) -> PatientFacts {
    PatientFacts { mrn: mrn.into(), name: "Test^Ada".into(), ..PatientFacts::default() }
}

fn person(name: &str, identifiers: &[(&str, &str)]) -> Demographics {
    let identifier = |(issuer, value): &(&str, &str)| Identifier {
        issuer: (*issuer).to_owned(),
        value: (*value).to_owned(),
    };
    Demographics {
        name: PersonName::from_dicom(name),
        identifiers: identifiers.iter().map(identifier).collect(),
        ..Demographics::default()
    }
}

pub(super) async fn seen(tx: &mut Tx, facts: &PatientFacts, study: &str) -> PatientId {
    Patient::ensure(tx, CLINIC, facts, &study.parse().unwrap(), now()).await.unwrap()
}

async fn registered(tx: &mut Tx, person: &Demographics) -> PatientId {
    Patient::register(tx, CLINIC, person, false, now()).await.unwrap()
}

pub(super) async fn study_of(tx: &mut Tx, patient: PatientId, uid: &str, date: Option<&str>) -> StudyId {
    let facts = StudyFacts { study_date: date.map(str::to_owned), ..StudyFacts::default() };
    Study::ensure(tx, CLINIC, patient, &uid.parse().unwrap(), &facts, now()).await.unwrap()
}

#[tokio::test]
async fn the_same_patient_id_is_the_same_patient() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let first = seen(&mut tx, &facts("P1"), "1.2.3").await;
        let again = seen(&mut tx, &facts("P1"), "1.2.4").await;
        let other = seen(&mut tx, &facts("P2"), "1.2.3").await;
        tx.commit().await.unwrap();
        assert_eq!(first, again);
        assert_ne!(first, other);
        let mut read = db.read().await.unwrap();
        let patient = Patient::find(&mut read, CLINIC, first).await.unwrap();
        assert_eq!(patient.demographics, person("Test^Ada", &[("", "P1")]));
        let elsewhere = Patient::find(&mut read, ClinicId::new(), first).await;
        assert!(matches!(elsewhere, Err(DbError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn an_issuer_and_an_id_do_not_run_into_one_another() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let one = PatientFacts { issuer: "A".into(), ..facts("B|C") };
        let two = PatientFacts { issuer: "A|B".into(), ..facts("C") };
        assert_ne!(seen(&mut tx, &one, "1.2.3").await, seen(&mut tx, &two, "1.2.3").await);
    })
    .await;
}

#[tokio::test]
async fn without_a_patient_id_two_studies_have_two_patients() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let one = seen(&mut tx, &facts(""), "1.2.3").await;
        assert_eq!(seen(&mut tx, &facts(""), "1.2.3").await, one);
        assert_ne!(seen(&mut tx, &facts(""), "1.2.4").await, one);
        let patient = Patient::find(&mut tx, CLINIC, one).await.unwrap();
        assert_eq!(patient.demographics.identifiers, [], "a study's UID is no identifier of a person");
    })
    .await;
}

#[tokio::test]
async fn an_image_finds_the_patient_who_was_registered_with_its_identifier() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let id = registered(&mut tx, &person("Other^Name", &[("HOSP", "1"), ("", "7")])).await;
        let issued = PatientFacts { issuer: "HOSP".into(), ..facts("1") };
        assert_eq!(seen(&mut tx, &issued, "1.2.3").await, id);
        assert_eq!(seen(&mut tx, &facts("7"), "1.2.4").await, id);
        assert_ne!(seen(&mut tx, &facts("1"), "1.2.5").await, id, "another issuer's 1");
    })
    .await;
}

#[tokio::test]
async fn two_that_see_a_new_patient_at_once_make_one() {
    on_both(async |db| {
        let make = async || {
            let mut tx = db.begin().await.unwrap();
            let id = seen(&mut tx, &facts("P1"), "1.2.3").await;
            tx.commit().await.unwrap();
            id
        };
        let (one, two) = tokio::join!(make(), make());
        assert_eq!(one, two);
        assert_eq!(count(&db, "patients").await, 1);
    })
    .await;
}

#[tokio::test]
async fn who_somebody_is_reads_back_and_changes() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let whole = Demographics {
            birth_date: "1980-02-01".parse().ok(),
            sex: Sex::Female,
            phone: Some("+254 20 1".into()),
            email: Some("ada@example.org".into()),
            address: Some(Address { city: Some("Nairobi".into()), ..Address::default() }),
            ..person("Test^Ada", &[("B", "2"), ("A", "1")])
        };
        let id = registered(&mut tx, &whole).await;
        let before = Patient::hold(&mut tx, CLINIC, id).await.unwrap();
        assert_eq!(before.demographics, whole, "the first identifier stays the first");
        let other =
            Demographics { sex: Sex::Other, address: None, ..person("Test^Eve", &[("A", "1"), ("C", "3")]) };
        Patient::change(&mut tx, CLINIC, &before, &other, true, now()).await.unwrap();
        let after = Patient::find(&mut tx, CLINIC, id).await.unwrap();
        assert_eq!((&after.demographics, after.is_restricted), (&other, true));

        let taken = Patient::register(&mut tx, CLINIC, &person("X^Y", &[("C", "3")]), false, now()).await;
        assert!(matches!(taken, Err(DbError::Conflict)));
    })
    .await;
}

/// «19800000» is no day, and «=山田» no part of the name's first group: to change the telephone must not lose them.
#[tokio::test]
async fn what_an_image_said_and_nobody_changed_stays_as_it_was() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let odd = PatientFacts {
            name: "Yamada^Tarou=山田".into(),
            birth_date: Some("19800000".into()),
            ..facts("1")
        };
        let id = seen(&mut tx, &odd, "1.2.3").await;
        let before = Patient::find(&mut tx, CLINIC, id).await.unwrap();
        assert_eq!(before.demographics.birth_date, None);
        let called = Demographics { phone: Some("123".into()), ..before.demographics.clone() };
        Patient::change(&mut tx, CLINIC, &before, &called, false, now()).await.unwrap();
        let after = Patient::find(&mut tx, CLINIC, id).await.unwrap();
        assert_eq!(
            (after.name.as_str(), after.birth_date.as_deref()),
            ("Yamada^Tarou=山田", Some("19800000"))
        );
    })
    .await;
}

async fn found(tx: &mut Tx, filter: PatientFilter) -> Vec<PatientId> {
    let list = Patient::list(tx, CLINIC, &filter, Sight::Nothing, None, 9).await.unwrap();
    list.into_iter().map(|patient| patient.patient_id).collect()
}

#[tokio::test]
async fn patients_are_found_by_name_identifier_and_birth_date() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let ada = registered(&mut tx, &person("Ünal^Ada Maria", &[("HOSP", "1")])).await;
        let born =
            Demographics { birth_date: "1980-02-01".parse().ok(), ..person("Adams^John", &[("", "1")]) };
        let john = registered(&mut tx, &born).await;
        let named = |name: &str| PatientFilter { name: Some(name.into()), ..PatientFilter::default() };
        for (name, expected) in [
            ("ada", vec![john, ada]),
            ("UNAL", vec![ada]),
            ("ünal, ada", vec![ada]),
            ("Ada Unal", vec![ada]),
            ("ada maria", vec![ada]),
            ("john adams", vec![john]),
            ("dams", vec![]),
            ("%", vec![]),
        ] {
            assert_eq!(found(&mut tx, named(name)).await, expected, "{name}");
        }
        let by = |issuer: Option<&str>, value: &str| PatientFilter {
            identifier: Some((issuer.map(str::to_owned), value.to_owned())),
            ..PatientFilter::default()
        };
        assert_eq!(found(&mut tx, by(None, "1")).await, [john, ada]);
        assert_eq!(found(&mut tx, by(Some("HOSP"), "1")).await, [ada]);
        assert_eq!(found(&mut tx, by(Some(""), "1")).await, [john]);
        let day = PatientFilter { birth_date: "1980-02-01".parse().ok(), ..named("ad") };
        assert_eq!(found(&mut tx, day).await, [john]);
        let rest =
            Patient::list(&mut tx, CLINIC, &PatientFilter::default(), Sight::Nothing, Some(john), 9).await;
        assert_eq!(rest.unwrap().len(), 1);
        let theirs =
            Patient::list(&mut tx, ClinicId::new(), &PatientFilter::default(), Sight::Everything, None, 9)
                .await;
        assert_eq!(theirs.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_merge_moves_what_there_is_and_what_will_come() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let first = seen(&mut tx, &facts("P1"), "1.2.1").await;
        let from = seen(&mut tx, &facts("P2"), "1.2.2").await;
        let into = registered(&mut tx, &person("Test^Ada", &[("", "P3")])).await;
        Patient::merge(&mut tx, CLINIC, from, first, now()).await.unwrap();
        let study = study_of(&mut tx, from, "1.2.2", None).await;
        let fact = serde_json::from_value(serde_json::json!({
            "kind": "allergy", "coding": {"system": "urn:x", "code": "1", "display": "x"},
        }))
        .unwrap();
        statement::record(&mut tx, CLINIC, from, fact, "user:1", now()).await.unwrap();
        let moved = Patient::merge(&mut tx, CLINIC, into, from, now()).await.unwrap();
        assert_eq!(moved, Moved { studies: 1, statements: 1 });
        tx.commit().await.unwrap();

        let mut tx = db.begin().await.unwrap();
        assert_eq!(Study::find(&mut tx, CLINIC, study).await.unwrap().patient_id, into);
        let stated = statement::of_patient(&mut tx, CLINIC, into, None, Mistakes::Shown, None, 9).await;
        assert_eq!(stated.unwrap().len(), 1);
        for (merged, mrn) in [(first, "P1"), (from, "P2")] {
            assert_eq!(seen(&mut tx, &facts(mrn), "1.2.9").await, into, "{mrn} leads to the survivor");
            assert_eq!(Patient::find(&mut tx, CLINIC, merged).await.unwrap().merged_into, Some(into));
            assert_eq!(Patient::survivor(&mut tx, CLINIC, merged).await.unwrap().patient_id, into);
        }
        assert_eq!(found(&mut tx, PatientFilter::default()).await, [into], "a merged record is in no list");
        let identifiers = Patient::find(&mut tx, CLINIC, into).await.unwrap().demographics.identifiers;
        assert_eq!(identifiers.iter().map(|it| it.value.as_str()).collect::<Vec<_>>(), ["P3", "P1", "P2"]);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_merged_is_refused() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let (one, two) = (seen(&mut tx, &facts("1"), "1.2").await, seen(&mut tx, &facts("2"), "1.3").await);
        let gone = seen(&mut tx, &facts("3"), "1.4").await;
        let merge = async |tx: &mut Tx, into, from| Patient::merge(tx, CLINIC, into, from, now()).await;
        assert!(matches!(merge(&mut tx, one, one).await, Err(MergeError::Same)));
        let unknown = merge(&mut tx, one, PatientId::new()).await;
        assert!(matches!(unknown, Err(MergeError::Database(DbError::NotFound))));
        let elsewhere = Patient::merge(&mut tx, ClinicId::new(), one, two, now()).await;
        assert!(matches!(elsewhere, Err(MergeError::Database(DbError::NotFound))));
        merge(&mut tx, one, two).await.unwrap();
        assert!(matches!(merge(&mut tx, one, two).await, Err(MergeError::Merged)));
        assert!(matches!(merge(&mut tx, two, one).await, Err(MergeError::Merged)));
        Patient::erase(&mut tx, CLINIC, gone, now()).await.unwrap();
        assert!(matches!(merge(&mut tx, one, gone).await, Err(MergeError::Erased)));
    })
    .await;
}

fn reader(role: Role, user_id: UserId) -> Reader {
    Reader { role: Some(role), user_id: Some(user_id), own: None }
}

#[tokio::test]
async fn a_restricted_record_opens_by_a_grant_and_closes_again() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let email = "d@example.org".parse().unwrap();
        let doctor = User::create(&mut tx, &email, "Someone", None, now()).await.unwrap().user_id;
        let id = Patient::register(&mut tx, CLINIC, &person("A^B", &[]), true, now()).await.unwrap();
        let open = registered(&mut tx, &person("C^D", &[])).await;
        let access = async |tx: &mut Tx, reader: Reader, id, at| {
            Access::to_patient(tx, CLINIC, &reader, id, at).await.unwrap()
        };
        let by = |role| reader(role, doctor);
        for (role, expected) in [
            (Role::ClinicAdmin, Access::Open),
            (Role::Doctor, Access::Restricted),
            (Role::Nurse, Access::Restricted),
            (Role::Receptionist, Access::Hidden),
            (Role::Pharmacist, Access::Hidden),
        ] {
            assert_eq!(access(&mut tx, by(role), id, now()).await, expected, "{role}");
            assert_eq!(access(&mut tx, by(role), open, now()).await, Access::Open, "{role}");
        }
        let machine = Reader { role: None, user_id: None, own: None };
        assert_eq!(access(&mut tx, machine, id, now()).await, Access::Hidden);
        let own = Reader { own: Some(id), ..by(Role::Patient) };
        assert_eq!(access(&mut tx, own, id, now()).await, Access::Open);
        assert_eq!(access(&mut tx, by(Role::Doctor), PatientId::new(), now()).await, Access::Hidden);

        let grant = Grant::give(&mut tx, CLINIC, id, doctor, "unconscious", now()).await.unwrap();
        assert_eq!(grant.expires_at, now() + TimeDelta::hours(4));
        assert_eq!(access(&mut tx, by(Role::Doctor), id, now()).await, Access::Open);
        assert_eq!(access(&mut tx, by(Role::Doctor), id, grant.expires_at).await, Access::Restricted);
        let stranger = reader(Role::Doctor, UserId::new());
        assert_eq!(access(&mut tx, stranger, id, now()).await, Access::Restricted, "a grant is one person's");
        assert_eq!(Grant::list(&mut tx, CLINIC, None, 9).await.unwrap(), [grant]);

        let into = registered(&mut tx, &person("A^B", &[])).await;
        Patient::merge(&mut tx, CLINIC, into, id, now()).await.unwrap();
        assert_eq!(access(&mut tx, stranger, into, now()).await, Access::Restricted, "a merge opens nothing");
        assert_eq!(access(&mut tx, stranger, id, now()).await, Access::Restricted);
        let broken = access(&mut tx, by(Role::Doctor), into, now()).await;
        assert_eq!(broken, Access::Restricted, "the glass was broken for another record");
    })
    .await;
}

#[tokio::test]
async fn a_list_shows_restricted_records_as_far_as_one_sees() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let open = registered(&mut tx, &person("A^B", &[])).await;
        let shut = Patient::register(&mut tx, CLINIC, &person("A^B", &[]), true, now()).await.unwrap();
        for (sight, expected) in [
            (Sight::Nothing, vec![open]),
            (Sight::Existence, vec![shut, open]),
            (Sight::Everything, vec![shut, open]),
        ] {
            let list =
                Patient::list(&mut tx, CLINIC, &PatientFilter::default(), sight, None, 9).await.unwrap();
            assert_eq!(list.into_iter().map(|it| it.patient_id).collect::<Vec<_>>(), expected);
        }
    })
    .await;
}

/// A PostgreSQL on which transactions run beside one another; SQLite has one writer.
pub(super) async fn postgres() -> Db {
    let db = Db::open(&crate::testing::fresh_postgres_url().await).await.unwrap();
    db.migrate().await.unwrap();
    db
}

/// How long something is watched that must not happen.
pub(super) const A_WHILE: std::time::Duration = std::time::Duration::from_millis(150);

#[tokio::test]
async fn who_holds_a_patient_is_the_only_one_to_change_them() {
    let db = postgres().await;
    let mut tx = db.begin().await.unwrap();
    let id = registered(&mut tx, &person("A^B", &[])).await;
    tx.commit().await.unwrap();

    let mut first = db.begin().await.unwrap();
    let before = Patient::hold(&mut first, CLINIC, id).await.unwrap();
    let second = async {
        let mut tx = db.begin().await.unwrap();
        Patient::hold(&mut tx, CLINIC, id).await.unwrap().demographics.name
    };
    let mut second = std::pin::pin!(second);
    assert!(tokio::time::timeout(A_WHILE, &mut second).await.is_err(), "it waits");
    Patient::change(&mut first, CLINIC, &before, &person("C^D", &[]), false, now()).await.unwrap();
    first.commit().await.unwrap();
    assert_eq!(second.await, PersonName::from_dicom("C^D"));
}

#[tokio::test]
async fn what_a_clinic_has_set_counts_before_what_the_service_has() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let years = |years: i64| [("recordRetentionYears".to_owned(), years.into())].into();
        let id = registered(&mut tx, &person("A^B", &[])).await;
        let kept = async |tx: &mut Tx| Patient::erase(tx, CLINIC, id, now()).await.unwrap().retention_years;
        crate::records::clinic::set_globally(&mut tx, &years(30)).await.unwrap();
        assert_eq!(kept(&mut tx).await, 30);
        Clinic::set(&mut tx, CLINIC, &years(7)).await.unwrap();
        assert_eq!(kept(&mut tx).await, 7);
        Clinic::set(&mut tx, CLINIC, &years(0)).await.unwrap();
        assert_eq!(kept(&mut tx).await, 1, "nobody keeps for less than a year");
    })
    .await;
}

#[tokio::test]
async fn the_studies_of_a_patient_come_with_their_series() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        place.insert(&mut tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
        let one = study(&mut tx, CLINIC, place.study_id).await.unwrap();
        assert_eq!((one.series.len(), one.series[0].instance_count), (1, 1));
        let second = study_of(&mut tx, one.patient_id, "1.2.4", Some("20200301")).await;
        let all = studies_of(&mut tx, CLINIC, one.patient_id, None, 9).await.unwrap();
        assert_eq!(all.iter().map(|it| it.study_id).collect::<Vec<_>>(), [second, place.study_id]);
        assert_eq!(all[0].started_on, "2020-03-01".parse().ok());
        assert_eq!(studies_of(&mut tx, CLINIC, one.patient_id, Some(second), 9).await.unwrap(), [one]);
        assert!(study(&mut tx, ClinicId::new(), second).await.is_err());
    })
    .await;
}
