//! `medilink analytics`: the numbers, counted anew.

use anyhow::{Context, Result};
use clap::Subcommand;
use storage::db::Db;
use storage::outbox::relay::{Work, place_all};

use crate::config::Config;

/// What is done with the numbers.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Count all numbers anew from the events, beside those that are shown, and show the new ones once they are whole
    ///
    /// Runs beside the service. Prints how many lines differ: none, unless a number was damaged.
    Rebuild,
}

/// Does it.
pub async fn run(config: &Config, action: &Action) -> Result<()> {
    let Action::Rebuild = action;
    let db = Db::open(&config.database_url()).await.context("the database cannot be opened")?;
    db.migrate().await.context("the database cannot be brought up to date")?;
    place_all(&db, Work::None).await?;
    let rebuilt = analytics::rebuild(&db).await.context("the numbers could not be counted anew")?;
    db.close().await;
    let analytics::Rebuilt { events, lines, differing } = rebuilt;
    println!("{events} events counted anew: {lines} lines, {differing} of them other than before");
    Ok(())
}
