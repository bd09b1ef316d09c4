//! `medilink demo users`: two clinics with a user for every role, a patient and a study in each, to try things on.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PatientId, StudyId, UserId};
use clinical::role::Role;
use clinical::uid::StudyInstanceUid;
use identity::PasswordCost;
use ingest::receive::Receipt;
use serde::Serialize;
use storage::db::Tx;
use storage::records::clinic::Clinic;
use storage::records::member::{Member, Position};
use storage::records::patient::Patient;
use storage::records::session::Session;
use storage::records::user::{EmailAddress, User};
use storage::secret::Plain;

use crate::config::Config;
use crate::samples;
use crate::wiring::House;

/// The host of every address that this command makes: none that mail could ever reach (RFC 2606, section 2).
const HOST: &str = "demo.medilink.example";
/// With what the Patient ID of every sample begins.
const SAMPLE_ID: &str = "DEMO-";
/// The clinics, each with the sample that becomes its study.
const CLINICS: [(&str, &str, &str); 2] =
    [("a", "Demo clinic A", "adult-chest.dcm"), ("b", "Demo clinic B", "ct-head-1.dcm")];

/// What is told of it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DemoClinic {
    clinic_id: ClinicId,
    name: String,
    patient_id: PatientId,
    study_id: StudyId,
    study_uid: StudyInstanceUid,
    users: Vec<DemoUser>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DemoUser {
    user_id: UserId,
    role: Role,
    email: String,
    password: String,
}

/// Makes them, or where they are there already, gives them new passwords; prints both.
pub async fn run(
    config: Config,
    environment: &BTreeMap<String, String>,
    arguments: &Arguments,
) -> Result<()> {
    let house = House::open(config, environment).await?;
    refuse_real_people(&house).await?;
    let mut clinics = Vec::new();
    for (letter, name, sample) in CLINICS {
        clinics.push(clinic(&house, letter, name, sample).await?);
    }
    house.db.close().await;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "clinics": clinics }))?);
        return Ok(());
    }
    for clinic in clinics {
        println!(
            "{}  {}\n  patient {}\n  study   {}",
            clinic.clinic_id, clinic.name, clinic.patient_id, clinic.study_id
        );
        for user in clinic.users {
            println!("  {:<18} {:<44} {}", user.role.as_str(), user.email, user.password);
        }
    }
    println!("\nSign in: POST /api/v1/auth/login {{\"email\": …, \"password\": …}}");
    Ok(())
}

/// Passwords that are printed open no door behind which real people's records lie.
async fn refuse_real_people(house: &House) -> Result<()> {
    let mut read = house.db.read().await?;
    if User::any_beyond(&mut read, HOST).await? || Patient::any_beyond(&mut read, SAMPLE_ID).await? {
        bail!("real people are kept here: choose another --data-dir for the demo");
    }
    Ok(())
}

async fn clinic(house: &Arc<House>, letter: &str, name: &str, sample: &str) -> Result<DemoClinic> {
    let now = house.clock.now();
    let clinic_id = made_earlier(house, letter).await?;
    let clinic_id = match clinic_id {
        Some(clinic_id) => clinic_id,
        None => {
            let mut tx = house.db.begin().await?;
            let clinic = Clinic::create(&mut tx, name, "UTC", now).await?;
            tx.commit().await?;
            clinic.clinic_id
        }
    };
    let files = samples::all()?;
    let (file, bytes) =
        files.into_iter().find(|(file, _)| file == sample).context("the sample is in the box")?;
    let mut spool = house.receiver.spool();
    spool.write(bytes.into()).await?;
    let receipt = Receipt { file_name: Some(file), ..Receipt::from_sender(clinic_id) };
    let received = house.receiver.receive(receipt, spool).await?;

    let mut users = Vec::new();
    for role in Role::ALL {
        let email = address(*role, letter);
        let password = format!("demo-{}", hex(&Plain::random(8)?));
        let hash = PasswordCost::default().hash(&password)?;
        let patient_id = (*role == Role::Patient).then_some(received.patient_id);
        let position = Position { patient_id, ..Position::of(*role) };
        let mut tx = house.db.begin().await?;
        let user_id = user(&mut tx, clinic_id, &email, &hash, &position, now).await?;
        tx.commit().await?;
        users.push(DemoUser { user_id, role: *role, email, password });
    }
    let (patient_id, study_id, study_uid) = (received.patient_id, received.study_id, received.study_uid);
    Ok(DemoClinic { clinic_id, name: name.to_owned(), patient_id, study_id, study_uid, users })
}

fn address(role: Role, letter: &str) -> String {
    format!("{}.{letter}@{HOST}", role.as_str().to_ascii_lowercase().replace('_', "-"))
}

/// The clinic of an earlier run, known by its first user.
async fn made_earlier(house: &House, letter: &str) -> Result<Option<ClinicId>> {
    let mut read = house.db.read().await?;
    let email: EmailAddress = address(Role::SuperAdmin, letter).parse()?;
    let Some(user) = User::with_email(&mut read, &email).await? else { return Ok(None) };
    let places = Member::of_user(&mut read, user.user_id).await?;
    Ok(places.first().map(|member| member.clinic_id))
}

/// The user with this address, made when missing; their earlier password and sessions count no more.
async fn user(
    tx: &mut Tx,
    clinic: ClinicId,
    email: &str,
    hash: &str,
    position: &Position,
    now: DateTime<Utc>,
) -> Result<UserId> {
    let email: EmailAddress = email.parse()?;
    if let Some(user) = User::with_email(tx, &email).await? {
        User::change_password(tx, user.user_id, hash).await?;
        Session::revoke_all(tx, user.user_id, None, now).await?;
        return Ok(user.user_id);
    }
    let name = format!("Demo {}", position.role.as_str().to_ascii_lowercase().replace('_', " "));
    let user = User::create(tx, &email, &name, Some(hash), now).await?;
    Member::add(tx, clinic, user.user_id, position, now).await?;
    Ok(user.user_id)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
