//! The steps of the schema, in order; their texts lie in `migrations/`.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Number, name and text.
pub(crate) type MigrationText = (i64, &'static str, &'static str);

macro_rules! migrations {
    ($($number:literal $name:literal)*) => {
        pub(crate) const SQLITE_MIGRATIONS: &[MigrationText] =
            &[$(($number, $name, include_str!(concat!("../../migrations/sqlite/", $name, ".sql")))),*];
        pub(crate) const POSTGRES_MIGRATIONS: &[MigrationText] =
            &[$(($number, $name, include_str!(concat!("../../migrations/postgres/", $name, ".sql")))),*];
    };
}

migrations! {
    1 "0001_ground_floor"
    2 "0002_people"
    3 "0003_identity"
    4 "0004_audit"
    5 "0005_events"
    6 "0006_secrets"
    7 "0007_patients"
    8 "0008_idempotency"
    9 "0009_row_level_security"
    10 "0010_lists_by_cursor"
    11 "0011_lists_of_people"
    12 "0012_metadata"
    13 "0013_peers"
    14 "0014_query"
    16 "0016_quarantine"
    17 "0017_networks"
    19 "0019_explanations"
    20 "0020_feedback"
    21 "0021_quarantine_sender"
    22 "0022_assessments"
    23 "0023_billing"
    24 "0024_notifications"
    25 "0025_analytics"
    26 "0026_cds_tenants"
    27 "0027_drift_and_deadlines"
    28 "0028_removed_notices"
    29 "0029_removals_of_study"
    30 "0030_lists_of_money"
    31 "0031_cds_issuers"
    32 "0032_payer_led_to"
    33 "0033_heaps_of_jobs"
}

/// The steps as sqlx runs them.
pub(crate) fn migrations(texts: &'static [MigrationText]) -> Migrator {
    Migrator::with_migrations(
        texts
            .iter()
            .map(|(version, name, text)| {
                Migration::new(*version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
            })
            .collect(),
    )
}

/// The number of the newest step that this program knows.
pub(crate) fn newest_migration() -> i64 {
    SQLITE_MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_the_folders_is_known() {
        for (engine, known) in [("sqlite", SQLITE_MIGRATIONS), ("postgres", POSTGRES_MIGRATIONS)] {
            let folder = format!("{}/../migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
            let mut there: Vec<String> =
                files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
            there.sort();
            let known: Vec<&str> = known.iter().map(|(_, name, _)| *name).collect();
            assert_eq!(known, there, "{engine}");
        }
    }
}
