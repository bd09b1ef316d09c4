//! `medilink audit`: whether the trail of who did what is whole.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use storage::audit::heads::{self, HEADS_FILE, HeadsError, Signed};
use storage::audit::verify::{ClinicReport, Report, verify};
use storage::db::Db;

use crate::config::Config;

/// What is done with the trail.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Walk each clinic's chain and name every row that was changed, removed, moved or cut off
    ///
    /// Changes nothing, runs beside the service, and fails when something does not hold. Rows that are not sealed yet
    /// (for about a second after they were written) are counted and are no damage.
    Verify(Verify),
}

/// Against what the chains are held.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// A copy of the signed heads that was kept elsewhere [default: audit-heads.json in the data folder]
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
    /// The public key that was written down [default: of audit-key in the data folder]
    #[arg(long, value_name = "BASE64")]
    public_key: Option<String>,
}

/// Does it.
pub async fn run(config: &Config, action: &Action) -> Result<()> {
    let Action::Verify(arguments) = action;
    // Before the rows: what is sealed meanwhile only makes a chain longer than its signed head.
    let signed = signed_heads(&config.data_dir, arguments)?;
    let db = open(&config.database_url()).await?;
    let report = verify(&db, &signed).await.context("the trail cannot be read")?;
    db.close().await;
    for line in lines(&report) {
        println!("{line}");
    }
    if !report.is_sound() {
        bail!("the audit trail is damaged");
    }
    println!("the audit trail is whole");
    Ok(())
}

fn signed_heads(folder: &Path, arguments: &Verify) -> Result<Signed> {
    let path = arguments.heads.clone().unwrap_or_else(|| folder.join(HEADS_FILE));
    let key = match &arguments.public_key {
        Some(key) => Some(key.clone()),
        None => heads::public_key_in(folder).context("the key of the signed heads cannot be used")?,
    };
    match key {
        Some(key) => {
            println!("heads of {} under the public key {key}", path.display());
            Ok(heads::load(&path, &key))
        }
        None if path.exists() => Ok(Signed::Broken(HeadsError::Key)),
        None => Ok(Signed::Missing),
    }
}

/// The database as it is: a look must not make a file, and changes no schema.
async fn open(url: &str) -> Result<Db> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !Path::new(path).exists() {
            bail!("there is no database {path}");
        }
    }
    let db = Db::open(url).await.context("the database cannot be opened")?;
    if let [first, ..] = db.pending_migrations().await?.as_slice() {
        bail!("the database lacks {first}: run `medilink migrate` first");
    }
    Ok(db)
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines: Vec<_> = report.heads_fault.iter().map(|fault| format!("DAMAGED: {fault}")).collect();
    report.clinics.iter().for_each(|clinic| lines_of(clinic, &mut lines));
    lines
}

fn lines_of(clinic: &ClinicReport, lines: &mut Vec<String>) {
    let ClinicReport { clinic_id, sealed, unsealed, .. } = clinic;
    lines.push(format!("clinic {clinic_id}: {} rows, {sealed} of them sealed", sealed + unsealed));
    if let Some(head) = &clinic.head {
        lines.push(format!("  head: row {}, {}", head.seq, head.hash));
    }
    if let Some(since) = clinic.unsealed_since {
        lines.push(format!("  not sealed yet: {unsealed} rows since {since}"));
    }
    lines.extend(clinic.damages.iter().map(|damage| format!("  DAMAGED: {damage}")));
    if clinic.more_damages > 0 {
        lines.push(format!("  DAMAGED: {} rows or places more", clinic.more_damages));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use clinical::audit::{Actor, Entry, Outcome};
    use clinical::id::ClinicId;
    use storage::audit::{Keeper, seal_pending, write};
    use storage::db::sql;

    /// A data folder with a trail of three sealed rows.
    async fn folder() -> (tempfile::TempDir, Config, Db) {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        let db = Db::open(&config.database_url()).await.unwrap();
        db.migrate().await.unwrap();
        let mut tx = db.begin().await.unwrap();
        for _ in 0..3 {
            write(&mut tx, &entry()).await.unwrap();
        }
        tx.commit().await.unwrap();
        seal_pending(&db).await.unwrap();
        Keeper::open(folder.path()).unwrap().keep(&db, DateTime::UNIX_EPOCH).await.unwrap();
        (folder, config, db)
    }

    fn entry() -> Entry {
        Entry {
            clinic_id: ClinicId::DEFAULT,
            at: DateTime::<Utc>::UNIX_EPOCH,
            actor: Actor::System,
            role: None,
            session: None,
            action: "service:read".to_owned(),
            record_id: None,
            patient_id: None,
            route: "medilink doctor".to_owned(),
            address: None,
            request_id: None,
            outcome: Outcome::Success,
            detail: None,
        }
    }

    fn with(heads: Option<PathBuf>, public_key: Option<String>) -> Action {
        Action::Verify(Verify { heads, public_key })
    }

    #[tokio::test]
    async fn a_whole_trail_passes_and_a_damaged_one_fails() {
        let (_folder, config, db) = folder().await;
        run(&config, &with(None, None)).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        sql("DROP TRIGGER audit_stays").execute(&mut tx).await.unwrap();
        sql("DELETE FROM audit_trail WHERE seq = 3").execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert!(run(&config, &with(None, None)).await.is_err());
    }

    /// Whoever owns the folder signs what they like; an old copy and the key on paper still tell.
    #[tokio::test]
    async fn a_copy_kept_elsewhere_proves_a_trail_whose_folder_was_forged() {
        let (folder, config, db) = folder().await;
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = elsewhere.path().join("copy.json");
        std::fs::copy(folder.path().join(HEADS_FILE), &copy).unwrap();
        let key = heads::public_key_in(folder.path()).unwrap();
        run(&config, &with(Some(copy.clone()), key.clone())).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        for words in [
            "DROP TRIGGER audit_stays",
            "DELETE FROM audit_trail WHERE seq = 3",
            "UPDATE audit_heads SET seq = 2, hash = (SELECT hash FROM audit_trail WHERE seq = 2)",
        ] {
            sql(words).execute(&mut tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        for file in [HEADS_FILE, heads::KEY_FILE] {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
        Keeper::open(folder.path()).unwrap().keep(&db, DateTime::UNIX_EPOCH).await.unwrap();
        run(&config, &with(None, None)).await.unwrap();
        assert!(run(&config, &with(Some(copy), key)).await.is_err());
    }

    #[tokio::test]
    async fn a_look_makes_no_database() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        assert!(run(&config, &with(None, None)).await.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
