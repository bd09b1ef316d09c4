//! `medilink demo activity`: months of an invented clinic's days, and the numbers that analytics must show of them.
//!
//! The numbers are counted here, one by one, from what was invented: never by the code that they are to prove.

mod expected;
mod invented;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use billing::{PastInvoice, PastStep};
use chrono_tz::Tz;
use clinical::event::{Event, Found, Reviewed, SeriesBegun};
use clinical::id::{
    AssessmentId, ClinicId, InstanceId, NotificationId, OverrideId, PatientId, StudyId, SubscriptionId,
};
use clinical::money::{Currency, Money};
use clinical::person::{Demographics, PersonName};
use storage::db::{Db, Tx};
use storage::outbox;
use storage::outbox::relay::{Work, place_all};
use storage::records::clinic::Clinic;
use storage::records::patient::Patient;
use storage::records::study::{Study, StudyFacts};

use self::invented::{Activity, Bill, Instant};
use crate::config::Config;
use crate::wiring::House;

/// So many events go into the database at a time.
const PER_TRANSACTION: usize = 500;
/// So often, after such a pause, it is looked whether all of them have their places.
const LOOKS: usize = 600;
const LOOK: Duration = Duration::from_millis(50);
/// The events whose numbers would be mixed with the invented ones'.
const COUNTED: [&str; 7] = [
    "instance_stored",
    "patient_registered",
    "visit_booked",
    "visit_held",
    "payment_succeeded",
    "invoice_issued",
    "assessment_made",
];

/// How much is invented, and how it is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// So many months, of which this is the last
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=60))]
    months: u32,
    /// Other numbers, other days
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Invents, tells and counts.
pub async fn run(
    config: Config,
    environment: &BTreeMap<String, String>,
    arguments: &Arguments,
) -> Result<()> {
    let house = House::open(config, environment).await?;
    let (clinic, now) = (ClinicId::DEFAULT, house.clock.now());
    let mut read = house.db.read().await?;
    if !outbox::list(&mut read, clinic, Some(&COUNTED), None, 1).await?.is_empty() {
        bail!("this clinic has numbers of its own already: choose another --data-dir for the demo");
    }
    let row = Clinic::find(&mut read, clinic).await?;
    drop(read);
    let zone: Tz = row.time_zone.parse().unwrap_or(Tz::UTC);
    let set = row.settings.get("currency").and_then(|code| code.as_str()?.parse::<Currency>().ok());
    let usd: Currency = "USD".parse().context("a currency of ISO 4217")?;
    let activity = Activity::invent(arguments.seed, arguments.months, now, zone, set.unwrap_or(usd));

    let steps = steps_of(&house, clinic, &activity).await?;
    take(&house.db, clinic, &steps).await?;
    count(&house.db, clinic).await?;
    house.db.close().await;

    let answers = expected::answers(&activity, now, zone);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&answers)?);
        return Ok(());
    }
    println!(
        "The default clinic has {} months of {} patients, {} studies, {} visits and {} invoices.",
        arguments.months,
        activity.patients.len(),
        activity.studies.len(),
        activity.visits.len(),
        activity.bills.len()
    );
    for path in answers.as_object().into_iter().flat_map(|answers| answers.keys()) {
        println!("  GET {path}");
    }
    println!("\n--json prints what they must answer.");
    Ok(())
}

/// Something that happens.
enum Step {
    /// It is told.
    Tell(Event),
    /// The invoice of this place among the invented is issued.
    Bill(usize, PastInvoice<'static>),
    /// Something becomes of it.
    Became(usize, PastStep),
}

/// Lets everything happen in its order: what is told and what becomes of money alike.
async fn take(db: &Db, clinic: ClinicId, steps: &[(Instant, Step)]) -> Result<()> {
    let mut invoices = BTreeMap::new();
    for some in steps.chunks(PER_TRANSACTION) {
        let mut tx = db.begin().await?;
        for (at, step) in some {
            match step {
                Step::Tell(event) => outbox::tell(&mut tx, clinic, event, *at).await?,
                Step::Bill(number, bill) => {
                    invoices.insert(*number, bill.issue(&mut tx, clinic, *at).await?);
                }
                Step::Became(number, what) => {
                    let invoice = *invoices.get(number).context("an invoice is issued first")?;
                    what.take(&mut tx, clinic, invoice, *at).await?;
                }
            }
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Waits until all that was told is in the numbers: a service that runs beside may be at the same.
async fn count(db: &Db, clinic: ClinicId) -> Result<()> {
    for _ in 0..LOOKS {
        place_all(db, Work::None).await?;
        analytics::catch_up(db).await.context("the events could not be counted")?;
        let last = outbox::list(&mut db.read().await?, clinic, None, None, 1).await?;
        if last.first().is_none_or(|last| last.position.is_some()) {
            analytics::catch_up(db).await.context("the events could not be counted")?;
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("the events get no positions: another process has begun to place them, and does not go on")
}

/// What happens, in its order; patients and studies get their rows at once.
async fn steps_of(house: &House, clinic: ClinicId, activity: &Activity) -> Result<Vec<(Instant, Step)>> {
    let mut events = Vec::new();
    let mut patients = Vec::new();
    for some in activity.patients.chunks(PER_TRANSACTION) {
        let mut tx = house.db.begin().await?;
        for person in some {
            let demographics = Demographics {
                name: PersonName {
                    family: Some(format!("Invented{}", patients.len())),
                    given: Some("Person".to_owned()),
                    ..PersonName::default()
                },
                birth_date: person.born_on,
                sex: person.sex,
                ..Demographics::default()
            };
            let patient_id = Patient::register(&mut tx, clinic, &demographics, false, person.at).await?;
            events.push((person.at, Event::PatientRegistered { patient_id }));
            patients.push((person.at, patient_id));
        }
        tx.commit().await?;
    }
    patients.sort_by_key(|(at, _)| *at);
    // Only who is there has a study or a visit: one who was imaged first would be counted from then on.
    let patient = |number: usize, at: Instant| {
        let there = patients.partition_point(|(registered_at, _)| *registered_at <= at).max(1);
        patients[number % there].1
    };
    for some in activity.studies.chunks(PER_TRANSACTION) {
        let mut tx = house.db.begin().await?;
        for study in some {
            let patient_id = patient(study.patient, study.at);
            let study_id = study_row(&mut tx, clinic, patient_id, study.at).await?;
            study_events(&mut events, study, study_id, patient_id);
        }
        tx.commit().await?;
    }
    for visit in &activity.visits {
        let (visit_id, physician_id, starts_at) = (visit.visit_id, visit.physician, visit.starts_at);
        let (patient_id, specialty) =
            (patient(visit.patient, visit.booked_at), visit.specialty.map(str::to_owned));
        if let Some((at, starts_at)) = visit.booked_first {
            let specialty = specialty.clone();
            events
                .push((at, Event::VisitBooked { visit_id, patient_id, physician_id, specialty, starts_at }));
        }
        let booked = Event::VisitBooked {
            visit_id,
            patient_id,
            physician_id,
            specialty: specialty.clone(),
            starts_at,
        };
        events.push((visit.booked_at, booked));
        if let Some(at) = visit.cancelled_at {
            events.push((at, Event::VisitCancelled { visit_id, patient_id }));
        }
        if visit.is_held {
            events.push((
                starts_at,
                Event::VisitHeld { visit_id, patient_id, physician_id, specialty, starts_at },
            ));
        }
    }
    let mut steps = Vec::new();
    for (number, bill) in activity.bills.iter().enumerate() {
        bill_steps(&mut steps, number, bill, patient(bill.patient, bill.issued_at));
    }
    for (at, urgency) in &activity.assessments {
        let assessment_id = AssessmentId::new();
        events.push((*at, Event::AssessmentMade { assessment_id, urgency: Some(*urgency) }));
    }
    for at in &activity.overrides {
        events.push((*at, Event::IssueOverridden { override_id: OverrideId::new() }));
    }
    for (number, (at, status)) in activity.subscriptions.iter().enumerate() {
        let (subscription_id, patient_id) = (SubscriptionId::new(), Some(patient(number, *at)));
        let status = (*status).to_owned();
        events.push((*at, Event::SubscriptionChanged { subscription_id, patient_id, status }));
    }
    for (at, channel, state) in &activity.deliveries {
        let notification_id = NotificationId::new();
        let (channel, state) = ((*channel).to_owned(), (*state).to_owned());
        events.push((*at, Event::NotificationSettled { notification_id, channel, state }));
    }
    steps.extend(events.into_iter().map(|(at, event)| (at, Step::Tell(event))));
    // Stable: of one record in the order of what happened.
    steps.sort_by_key(|(at, _)| *at);
    Ok(steps)
}

async fn study_row(tx: &mut Tx, clinic: ClinicId, patient: PatientId, at: Instant) -> Result<StudyId> {
    let uid = format!("2.25.{}", uuid::Uuid::new_v4().as_u128()).parse()?;
    let facts = StudyFacts {
        study_date: Some(at.format("%Y%m%d").to_string()),
        description: Some("Invented".to_owned()),
        ..StudyFacts::default()
    };
    Ok(Study::ensure(tx, clinic, patient, &uid, &facts, at).await?)
}

fn study_events(
    events: &mut Vec<(Instant, Event)>,
    study: &invented::Imaged,
    study_id: StudyId,
    patient_id: PatientId,
) {
    let begins = SeriesBegun { patient_id, modality: Some(study.modality.to_owned()), is_own_result: false };
    let stored = Event::InstanceStored { study_id, instance_id: InstanceId::new(), begins: Some(begins) };
    events.push((study.at, stored));
    if let Some(at) = study.found_at {
        let found = Found { scored: 1, abstained: 0, positive: i64::from(study.is_positive) };
        events.push((at, Event::FindingsReady { study_id, analysis_ids: Vec::new(), found: Some(found) }));
    }
    for word in &study.words {
        let review = Reviewed { study_id, user_id: Some(word.physician), is_accepted: word.is_accepted };
        let finding_id = word.finding_id;
        events.push((word.at, Event::FindingReviewed { finding_id, review: Some(review) }));
    }
}

fn bill_steps(steps: &mut Vec<(Instant, Step)>, number: usize, bill: &Bill, patient_id: PatientId) {
    let invoice = PastInvoice {
        patient_id,
        amount: Money::new(bill.minor, bill.currency),
        description: "Invented",
        created_by: "demo activity",
    };
    steps.push((bill.issued_at, Step::Bill(number, invoice)));
    let became = [
        (bill.failed_at, PastStep::Declined),
        (bill.paid_at, PastStep::Paid),
        (bill.refunded.map(|(at, _)| at), PastStep::Refunded(bill.refunded.map_or(0, |(_, minor)| minor))),
        (bill.reminded_at, PastStep::Reminded),
        (bill.closed_at, PastStep::GivenUp),
    ];
    let became = became.into_iter().filter_map(|(at, what)| Some((at?, Step::Became(number, what))));
    steps.extend(became);
}
