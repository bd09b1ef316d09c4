//! For tests of this and other rooms: both databases, empty, and rows to begin with.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, InstanceId, StudyId};
use clinical::imaging::{LabelScore, Outcome};
use clinical::uid::{SeriesInstanceUid, StudyInstanceUid};
use sqlx::postgres::PgConnectOptions;

use crate::db::{Db, Tx, sql};
use crate::records::analysis::NewAnalysis;
use crate::records::instance::{Instance, InstanceFacts, Origin};
use crate::records::patient::{Patient, PatientFacts};
use crate::records::series::{Series, SeriesFacts};
use crate::records::study::{Study, StudyFacts};
use crate::secret::{KEY_BYTES, Keyring};

/// A fixed instant, in whole microseconds.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_790_000_000_123_456).expect("within chrono's range")
}

/// What `./test` says of a server that it has started.
///
/// # Panics
///
/// Without it: a test that was not run must not look as if it had passed.
pub fn told_by_test(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "tests have no Config")]
    let told = std::env::var(name);
    told.unwrap_or_else(|_| panic!("{name} is not set: run the tests by ./test"))
}

/// URL of the test bucket, and the options to reach it.
pub fn s3() -> (String, Vec<(String, String)>) {
    let mut options = vec![("aws_allow_http".to_owned(), "true".to_owned())];
    for name in ["endpoint", "access_key_id", "secret_access_key", "region"] {
        let told = told_by_test(&format!("MEDILINK_TEST_S3_{}", name.to_uppercase()));
        options.push((format!("aws_{name}"), told));
    }
    (told_by_test("MEDILINK_TEST_S3_URL"), options)
}

/// A new schema on the test server, as a URL that sees only that schema.
pub async fn fresh_postgres_url() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let schema = format!("t{}_{count}_{}", std::process::id(), InstanceId::new().0.simple());
    let url = told_by_test("MEDILINK_TEST_POSTGRES");
    let options: PgConnectOptions = url.parse().expect("./test gives a good URL");
    let maker = Db::postgres(options).await.expect("the test server answers");
    let mut conn = maker.begin().await.expect("the test server answers");
    crate::db::built_sql(format!("CREATE SCHEMA {schema}")).execute(&mut conn).await.expect("a new name");
    conn.commit().await.expect("the test server answers");
    maker.close().await;
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}options=-csearch_path%3D{schema}")
}

/// Runs `test` on a new SQLite file and on a new PostgreSQL schema, both migrated.
pub async fn on_both<F: AsyncFn(Db)>(test: F) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("rows.sqlite");
    let urls = [format!("sqlite:{}", path.display()), fresh_postgres_url().await];
    for url in urls {
        let db = Db::open(&url).await.expect("the database opens");
        db.migrate().await.expect("the schema applies");
        test(db.clone()).await;
        db.close().await;
    }
}

/// A series in the default clinic.
#[derive(Debug, Clone)]
pub struct Place {
    /// Our identifier of its study.
    pub study_id: StudyId,
    study: StudyInstanceUid,
    series: SeriesInstanceUid,
}

impl Place {
    /// Writes an instance there; `None` when its UID is taken.
    pub async fn insert(&self, tx: &mut Tx, facts: &InstanceFacts, at: DateTime<Utc>) -> Option<InstanceId> {
        let inserted = Instance::insert(tx, ClinicId::DEFAULT, &self.study, &self.series, facts, at).await;
        inserted.expect("the database answers").map(|inserted| inserted.instance_id)
    }
}

/// A patient, a study and a series in the default clinic.
pub async fn place_of(tx: &mut Tx, study: &str, series: &str) -> Place {
    let clinic = ClinicId::DEFAULT;
    let (study, series) = (study.parse().expect("a UID"), series.parse().expect("a UID"));
    let patient =
        Patient::ensure(tx, clinic, &PatientFacts::default(), &study, now()).await.expect("written");
    let study_id =
        Study::ensure(tx, clinic, patient, &study, &StudyFacts::default(), now()).await.expect("written");
    Series::ensure(tx, clinic, study_id, &series, &SeriesFacts::default(), now()).await.expect("written");
    Place { study_id, study, series }
}

/// An image in a new place, whose bytes have the digest `aa`, and its study.
pub async fn stored_image(tx: &mut Tx) -> (StudyId, InstanceId) {
    let place = place_of(tx, "1.2.3", "1.2.3.1").await;
    let instance = place.insert(tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.expect("a new UID");
    (place.study_id, instance)
}

/// Facts of a small CT instance whose bytes have the given digest.
pub fn instance_facts(sop_uid: &str, sha256: &str) -> InstanceFacts {
    InstanceFacts {
        sop_uid: sop_uid.parse().expect("a UID"),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".parse().expect("a UID"),
        transfer_syntax_uid: "1.2.840.10008.1.2.1".parse().expect("a UID"),
        instance_number: Some(1),
        rows: Some(64),
        columns: Some(64),
        bits_allocated: Some(16),
        frame_count: Some(1),
        pixels_at: Some((1_000, 8_192)),
        sha256: sha256.to_owned(),
        size_bytes: 9_192,
        blob_key: format!("{sop_uid}/{sha256}.dcm"),
        file_name: None,
        origin: Origin::Sender,
    }
}

/// A run over the bytes `aa` that found one label in two boxes.
pub fn scored_twice(study_id: StudyId, instance_id: InstanceId, probabilities: [f32; 2]) -> NewAnalysis {
    let runs = probabilities.map(|probability| scored(study_id, instance_id, "aa", probability).outcome);
    let boxes = runs.into_iter().flat_map(|outcome| match outcome {
        Outcome::Scored(scores) => scores,
        Outcome::Abstained(_) => Vec::new(),
    });
    NewAnalysis { outcome: Outcome::Scored(boxes.collect()), ..scored(study_id, instance_id, "aa", 0.0) }
}

/// A run that gave one label.
pub fn scored(study_id: StudyId, instance_id: InstanceId, sha256: &str, probability: f32) -> NewAnalysis {
    NewAnalysis {
        study_id,
        instance_id,
        instance_sha256: sha256.to_owned(),
        network_name: "example".to_owned(),
        network_version: "1".to_owned(),
        network_sha256: "cc".to_owned(),
        outcome: Outcome::Scored(vec![LabelScore {
            label: "pneumonia".to_owned(),
            meaning: "Pneumonia".to_owned(),
            probability,
            threshold: Some(0.5),
            frame: 0,
            region: None,
        }]),
        brightness: Some(0.5),
        findings_text: Some("pneumonia suspected".to_owned()),
        recommendations: Some("review by a physician".to_owned()),
        confidence_percent: Some(f64::from(probability) * 100.0),
        duration_ms: 12.5,
        is_shadow: false,
        is_of_series: false,
    }
}

/// How many rows a table has.
pub async fn count(db: &Db, table: &'static str) -> i64 {
    let mut conn = db.read().await.expect("the database answers");
    crate::db::built_sql(format!("SELECT count(*) FROM {table}"))
        .fetch_one(&mut conn)
        .await
        .expect("it counts")
}

/// Makes a statement fail inside a transaction, as a constraint would.
pub async fn break_a_rule(tx: &mut Tx) {
    let again = "INSERT INTO clinics (clinic_id, name, created_at) VALUES ($1, 'again', $2)";
    let broken = sql(again).bind(ClinicId::DEFAULT).bind(now()).execute(tx).await;
    assert!(matches!(broken, Err(crate::db::DbError::Conflict)), "the default clinic is there already");
}

/// Keys of these names, parted by commas; the first is the current one. A name always means the same key.
pub fn keyring(names: &str) -> Keyring {
    let line = |name: &str| {
        let mut key = [0; KEY_BYTES];
        for (place, byte) in key.iter_mut().zip(name.bytes()) {
            *place = byte;
        }
        format!("{name}:{}", base64::engine::general_purpose::STANDARD.encode(key))
    };
    let lines: Vec<String> = names.split(',').map(line).collect();
    Keyring::from_text(&lines.join(",")).expect("names of letters, digits and hyphens")
}

/// Holds tables of the document at `path` to the code's own: each, by its name, stands between two marks with it.
/// `UPDATE_GOLDEN=1` writes them anew.
///
/// # Panics
///
/// Where the document has other tables, or no marks of one.
pub fn hold_tables(path: &str, tables: &[(&str, String)]) {
    let mut document =
        std::fs::File::options().read(true).write(true).open(path).expect("the document is there");
    // several rooms may write theirs at the same time
    document.lock().expect("others write no longer than a moment");
    let mut kept = String::new();
    std::io::Read::read_to_string(&mut document, &mut kept).expect("it is text");
    let made = tables.iter().fold(kept.clone(), |made, (name, table)| {
        with_table(&made, name, table).unwrap_or_else(|| panic!("the document has no marks of {name}"))
    });
    #[expect(clippy::disallowed_methods, reason = "tests have no Config")]
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, made).expect("it can be written");
        return;
    }
    assert!(kept == made, "a table of {path} is not the code's: run with UPDATE_GOLDEN=1");
}

/// The document with `table` between the marks of this name; `None` where it has no such marks.
fn with_table(document: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- table {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::with_table;

    #[test]
    fn a_table_is_put_between_its_marks_alone() {
        let document = "a\n<!-- table x -->\nold\n<!-- end x -->\nb\n";
        let made = with_table(document, "x", "new\n").unwrap();
        assert_eq!(made, "a\n<!-- table x -->\nnew\n<!-- end x -->\nb\n");
        assert_eq!(with_table(document, "y", "new\n"), None);
    }
}
