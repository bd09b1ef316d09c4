//! `medilink migrate`: brings the database up to date.

use anyhow::{Context, Result};
use storage::db::Db;

use crate::config::Config;

/// Applies what is missing.
pub async fn run(config: &Config) -> Result<()> {
    std::fs::create_dir_all(&config.data_dir)?;
    let db = Db::open(&config.database_url()).await.context("the database cannot be opened")?;
    db.migrate().await.context("the database cannot be brought up to date")?;
    println!("{} is up to date", db.engine());
    db.close().await;
    Ok(())
}
