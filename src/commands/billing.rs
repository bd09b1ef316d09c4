//! `medilink billing`: whether books, invoices, payments and providers agree.

use anyhow::{Context, Result, bail};
use billing::NotAsked;
use chrono::TimeDelta;
use clap::Subcommand;
use clinical::id::ClinicId;
use serde_json::json;
use storage::records::clinic::Clinic;

use crate::wiring::House;

/// So many clinics are looked through at a time.
const CLINICS: i64 = 200;

/// What is done with the money.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Compare the books with invoices, payments and what the providers say, and name every difference
    ///
    /// Changes nothing, runs beside the service, and fails when something differs or a provider cannot be asked.
    Reconcile(Reconcile),
}

/// What is compared.
#[derive(Debug, clap::Args)]
pub struct Reconcile {
    /// One clinic alone [default: all of them]
    #[arg(long, value_name = "ID")]
    clinic: Option<ClinicId>,
    /// Payments of so many days are asked for at their providers
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    days: u16,
    /// One line of JSON a clinic
    #[arg(long)]
    json: bool,
}

/// Does it.
pub async fn run(house: &House, action: &Action) -> Result<()> {
    let Action::Reconcile(arguments) = action;
    let cashier = house.cashier()?;
    let since = house.clock.now() - TimeDelta::days(arguments.days.into());
    let (mut differences, mut not_asked) = (0, 0);
    for clinic in clinics(house, arguments.clinic).await? {
        let found = cashier.reconcile(clinic, since).await.context("the books cannot be read")?;
        differences += found.differences.len();
        not_asked += found.not_asked.len();
        if arguments.json {
            println!("{}", json!({"clinicId": clinic, "reconciled": found}));
            continue;
        }
        println!(
            "clinic {clinic}: {} invoices, {} payments, {} of them held against their providers, {} differences",
            found.invoices,
            found.payments,
            found.asked,
            found.differences.len()
        );
        for NotAsked { provider, why, payments } in &found.not_asked {
            println!("  {provider} could not be asked, for {payments} payments: {why}");
        }
        for difference in &found.differences {
            println!("  {}", json!(difference));
        }
    }
    if differences + not_asked > 0 {
        bail!("{differences} differences; {not_asked} times a provider could not be asked");
    }
    Ok(())
}

/// The clinic that is named, else every one.
async fn clinics(house: &House, named: Option<ClinicId>) -> Result<Vec<ClinicId>> {
    let mut rows = house.db.read().await?;
    if let Some(clinic) = named {
        return Ok(vec![Clinic::find(&mut rows, clinic).await.context("there is no such clinic")?.clinic_id]);
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = Clinic::list(&mut rows, after, CLINICS).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.clinic_id.0);
        all.extend(page.into_iter().map(|clinic| clinic.clinic_id));
    }
}
