//! Turns between what comes into a study and what removes from it.
//!
//! On PostgreSQL neither sees what the other has not committed: an instance that comes while a note rejects it would be
//! hidden by nobody. So who stores holds the study open, together with others who do, and who rejects waits for them
//! and has it alone, also where the study is not there yet. SQLite has one writer.

use std::collections::BTreeSet;

use clinical::id::ClinicId;
use clinical::uid::StudyInstanceUid;

use crate::db::{Result, Tx, sql};

/// Waits until nothing is being removed from the study, and keeps it so until the transaction ends.
pub async fn wait_to_store(tx: &mut Tx, clinic: ClinicId, study: &StudyInstanceUid) -> Result<()> {
    if tx.is_postgres() {
        let lock = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))";
        sql(lock).bind(name(clinic, study)).execute(tx).await?;
    }
    Ok(())
}

/// Waits until nothing is being stored into these studies or removed from them, and keeps it so until the transaction
/// ends; to be asked before anything else, once, for all of them: two who ask piece by piece could wait for each other.
pub async fn wait_to_remove(
    tx: &mut Tx,
    clinic: ClinicId,
    studies: impl IntoIterator<Item = &StudyInstanceUid>,
) -> Result<()> {
    if tx.is_postgres() {
        let names: BTreeSet<String> = studies.into_iter().map(|study| name(clinic, study)).collect();
        for name in names {
            let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
            sql(lock).bind(name).execute(tx).await?;
        }
    }
    Ok(())
}

/// Two studies of one hash wait for each other without need.
fn name(clinic: ClinicId, study: &StudyInstanceUid) -> String {
    format!("removal/{clinic}/{study}")
}
