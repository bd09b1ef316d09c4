//! The data set of an instance as DICOM JSON, kept beside its row from the moment it is received.
//!
//! The texts of instances resemble one another, so each is deflated (RFC 1951) against one dictionary of common
//! attributes: measured, a CT's 4,280 bytes become 835 in 14 µs, and are back in 3.

use std::cell::RefCell;

use clinical::id::{ClinicId, InstanceId};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::db::{Conn, DbError, FromRow, Result, Row, Statement, Tx, built_sql, sql};

/// The form of what is kept here: another number, and what was kept before is made anew.
///
/// It changes with the dictionary, and whenever the texts themselves are to say something else.
const FORM: i64 = 1;
/// What every text is deflated against; its last bytes are the cheapest to point to.
const DICTIONARY: &[u8] = include_bytes!("instance_metadata/dictionary");
/// Before the deflated bytes stands how many they were, little-endian.
const LENGTH_BYTES: usize = 4;
/// A longer text is not kept.
const TEXT_BYTES_MAX: usize = 16 << 20;

thread_local! {
    /// Making them costs more than a text does.
    static TOOLS: RefCell<(Compress, Decompress)> =
        RefCell::new((Compress::new(Compression::fast(), false), Decompress::new(false)));
}

/// A deflated text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// `text`, deflated; `None` for one of more than 16 MiB, which is not kept.
    pub fn of(text: &[u8]) -> Option<Self> {
        let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= TEXT_BYTES_MAX)?;
        TOOLS.with_borrow_mut(|(tool, _)| {
            tool.reset();
            tool.set_dictionary(DICTIONARY).ok()?;
            let mut packed = Vec::with_capacity(LENGTH_BYTES + text.len() / 2 + 64);
            packed.extend_from_slice(&length.to_le_bytes());
            loop {
                let taken = tool.total_in() as usize;
                match tool.compress_vec(text.get(taken..)?, &mut packed, FlushCompress::Finish).ok()? {
                    Status::StreamEnd => break,
                    Status::Ok | Status::BufError => packed.reserve(packed.capacity()),
                }
            }
            packed.shrink_to_fit();
            Some(Self(packed))
        })
    }

    /// Appends the text to `out`.
    ///
    /// # Errors
    ///
    /// [`DbError::Corrupt`] where it does not read back.
    pub fn unpack(&self, out: &mut Vec<u8>) -> Result<()> {
        let corrupt = || DbError::Corrupt("packed".to_owned());
        let (length, deflated) = self.0.split_first_chunk::<LENGTH_BYTES>().ok_or_else(corrupt)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > TEXT_BYTES_MAX {
            return Err(corrupt());
        }
        let before = out.len();
        // one byte more than there are: a stream that goes on is noticed
        out.reserve_exact(length + 1);
        let status = TOOLS.with_borrow_mut(|(_, tool)| {
            tool.reset(false);
            tool.set_dictionary(DICTIONARY)?;
            tool.decompress_vec(deflated, out, FlushDecompress::Finish)
        });
        let is_whole = matches!(status, Ok(Status::StreamEnd)) && out.len() - before == length;
        if is_whole { Ok(()) } else { Err(corrupt()) }
    }
}

/// What is kept of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceMetadata {
    /// The instance.
    pub instance_id: InstanceId,
    /// SHA-256, in hexadecimal, of the bytes whose data set it is: where the instance has others by now, it is stale.
    pub sha256: String,
    /// The text.
    pub packed: Packed,
}

impl FromRow for InstanceMetadata {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            instance_id: row.id("instance_id")?,
            sha256: row.get("sha256")?,
            packed: Packed(row.get("packed")?),
        })
    }
}

impl InstanceMetadata {
    /// Keeps the text of an instance in place of any other.
    ///
    /// # Errors
    ///
    /// [`DbError::Engine`] when the database fails, or there is no such instance.
    pub async fn keep(
        db: &mut Tx,
        clinic: ClinicId,
        instance: InstanceId,
        sha256: &str,
        packed: &Packed,
    ) -> Result<()> {
        let upsert = "INSERT INTO instance_metadata (instance_id, clinic_id, sha256, form, packed)
                      VALUES ($1, $2, $3, $4, $5)
                      ON CONFLICT (instance_id) DO UPDATE
                         SET sha256 = excluded.sha256, form = excluded.form, packed = excluded.packed";
        sql(upsert)
            .bind(instance)
            .bind(clinic)
            .bind(sha256)
            .bind(FORM)
            .bind(packed.0.as_slice())
            .defer(db)
            .await
    }

    /// What is kept of `instances`, in no order; nothing of those of which nothing is kept in this form.
    ///
    /// # Errors
    ///
    /// [`DbError::Engine`] when the database fails.
    pub async fn of(db: &mut Conn, clinic: ClinicId, instances: &[InstanceId]) -> Result<Vec<Self>> {
        if instances.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (0..instances.len()).map(|index| format!("${}", index + 3)).collect();
        let text = format!(
            "SELECT instance_id, sha256, packed FROM instance_metadata
              WHERE clinic_id = $1 AND form = $2 AND instance_id IN ({})",
            places.join(", ")
        );
        let statement = built_sql(text).bind(clinic).bind(FORM);
        instances.iter().copied().fold(statement, Statement::bind).fetch_all(db).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{count, instance_facts, now, on_both, place_of};

    #[test]
    fn a_text_comes_back_whole_behind_what_is_there_already() {
        let common = br#"{"00080060":{"vr":"CS","Value":["CT"]},"00280010":{"vr":"US","Value":[512]}}"#;
        let random: Vec<u8> =
            (0..100_000_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for text in [b"".as_slice(), b"{}", common, &random] {
            let mut out = b"before".to_vec();
            Packed::of(text).unwrap().unpack(&mut out).unwrap();
            assert_eq!(out.strip_prefix(b"before"), Some(text));
        }
        assert!(Packed::of(common).unwrap().0.len() < common.len() / 2);
        assert_eq!(Packed::of(&vec![b' '; TEXT_BYTES_MAX + 1]), None);
    }

    #[test]
    fn what_was_changed_is_corrupt_and_takes_no_more_than_it_says() {
        let packed = Packed::of(&[b'x'; 10_000]).unwrap();
        let longer = [&9_999_u32.to_le_bytes(), &packed.0[4..]].concat();
        let endless = [&u32::MAX.to_le_bytes(), &packed.0[4..]].concat();
        for bad in [longer, endless, packed.0[..packed.0.len() - 1].to_vec(), vec![1, 2]] {
            assert!(matches!(Packed(bad).unpack(&mut Vec::new()), Err(DbError::Corrupt(_))));
        }
    }

    #[tokio::test]
    async fn the_text_of_an_instance_is_replaced_and_goes_with_it() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            let id = place.insert(&mut tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
            let (old, new) = (Packed::of(b"old").unwrap(), Packed::of(b"new").unwrap());
            InstanceMetadata::keep(&mut tx, clinic, id, "aa", &old).await.unwrap();
            InstanceMetadata::keep(&mut tx, clinic, id, "bb", &new).await.unwrap();
            tx.commit().await.unwrap();

            let mut read = db.read().await.unwrap();
            let others = [InstanceId::new(), id, InstanceId::new()];
            let kept = InstanceMetadata::of(&mut read, clinic, &others).await.unwrap();
            assert_eq!(kept, [InstanceMetadata { instance_id: id, sha256: "bb".to_owned(), packed: new }]);
            assert_eq!(InstanceMetadata::of(&mut read, ClinicId::new(), &others).await.unwrap(), []);
            drop(read);

            let mut tx = db.begin().await.unwrap();
            sql("DELETE FROM instances WHERE instance_id = $1").bind(id).execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(count(&db, "instance_metadata").await, 0);
        })
        .await;
    }
}
