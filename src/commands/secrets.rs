//! `medilink secrets`: the keys that seal what must not be shown.

use anyhow::{Context, Result};
use clap::Subcommand;
use storage::db::Db;
use storage::secret::rotate;

use crate::config::Config;

/// What is done with the keys.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Seal every secret anew under the current key-encryption key
    ///
    /// Runs while the service serves, and goes on where an earlier run was stopped. Once it has ended well, the keys
    /// behind the first are needed no more, except by backups that were made before.
    Rotate {
        /// First make a new key and put it before those of the key file
        #[arg(long)]
        new_key: bool,
    },
}

/// Does it.
pub async fn run(config: &Config, action: &Action) -> Result<()> {
    let Action::Rotate { new_key } = action;
    let keys = config.keyring()?;
    let db = Db::open(&config.database_url()).await.context("the database cannot be opened")?;
    db.migrate().await.context("the database cannot be brought up to date")?;
    if *new_key {
        keys.add_key()
            .context("a new key can be put into a key file only: MEDILINK_KEK is yours to change")?;
    }
    let rotated = rotate(&db, &keys).await?;
    let current = keys.current_id();
    println!("{} secrets sealed anew; all are under the key {current}", rotated.sealed);
    if rotated.passed > 0 {
        println!("{} were changed by others meanwhile: run it once more", rotated.passed);
    }
    db.close().await;
    Ok(())
}
