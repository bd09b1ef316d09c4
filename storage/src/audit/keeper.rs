//! Keeps the signed heads up with the chains, and never sets one back.

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::Ed25519KeyPair;
use chrono::{DateTime, Utc};
use clinical::id::ClinicId;

use crate::audit::chain::Head;
use crate::audit::heads::{HEADS_FILE, HeadsError, SignedHeads, key_in, public_key};
use crate::audit::seal::kept_heads;
use crate::db::{Conn, Db, sql};

/// Signs where the chains end, for one data folder.
pub struct Keeper {
    path: PathBuf,
    key: Ed25519KeyPair,
}

impl Keeper {
    /// The keeper of a data folder; makes its key when there is none.
    ///
    /// # Errors
    ///
    /// [`HeadsError::File`] and [`HeadsError::Key`] when the key cannot be read or made.
    pub fn open(folder: &Path) -> Result<Self, HeadsError> {
        Ok(Self { path: folder.join(HEADS_FILE), key: key_in(folder)? })
    }

    /// The public half of its key, in base64.
    pub fn public_key(&self) -> String {
        public_key(&self.key)
    }

    /// Brings the file up to the chains' present ends. A chain that does not lead through the head that was signed
    /// last was cut or rewritten: that head stays as the proof, and its clinic is told.
    ///
    /// # Errors
    ///
    /// [`HeadsError::Forged`] and [`HeadsError::Malformed`] when the file was changed by another hand, which is left
    /// as it is; [`HeadsError::File`] and [`HeadsError::Database`] when either cannot be used.
    pub async fn keep(&self, db: &Db, now: DateTime<Utc>) -> Result<Vec<ClinicId>, HeadsError> {
        let signed = match SignedHeads::read(&self.path)? {
            Some(signed) => {
                signed.check(&self.public_key())?;
                signed.heads
            }
            None => Vec::new(),
        };
        let mut read = db.read().await?;
        let mut heads = kept_heads(&mut read).await?;
        let mut cut = Vec::new();
        for old in &signed {
            match heads.iter_mut().find(|head| head.clinic_id == old.clinic_id) {
                Some(head) if head == old => {}
                Some(head) if leads_through(&mut read, old).await? && head.seq > old.seq => {}
                Some(head) => {
                    *head = *old;
                    cut.push(old.clinic_id);
                }
                None => {
                    heads.push(*old);
                    cut.push(old.clinic_id);
                }
            }
        }
        drop(read);
        heads.sort_by_key(|head| head.clinic_id);
        if heads != signed {
            let (renewed, path) = (SignedHeads::sign(&self.key, heads, now), self.path.clone());
            let written = tokio::task::spawn_blocking(move || renewed.write(&path));
            written.await.map_err(std::io::Error::other)??;
        }
        Ok(cut)
    }
}

/// Whether the row that a head was signed for stands there as it did.
async fn leads_through(db: &mut Conn, head: &Head) -> Result<bool, HeadsError> {
    let row = sql("SELECT count(*) FROM audit_trail WHERE clinic_id = $1 AND seq = $2 AND hash = $3");
    let row = row.bind(head.clinic_id).bind(head.seq).bind(head.hash.to_string());
    Ok(row.fetch_one::<i64>(db).await? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::heads::{Signed, load};
    use crate::audit::tests::{CLINIC, entry};
    use crate::audit::{seal_pending, write};
    use crate::testing::{now, on_both};

    async fn seal_rows(db: &Db, count: i64) {
        let mut tx = db.begin().await.unwrap();
        for micros in 0..count {
            write(&mut tx, &entry(micros)).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(seal_pending(db).await.unwrap() as i64, count);
    }

    fn signed(keeper: &Keeper) -> i64 {
        match load(&keeper.path, &keeper.public_key()) {
            Signed::Checked(heads) => heads.iter().map(|head| head.seq).sum(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_signed_head_follows_the_chain() {
        on_both(async |db| {
            let folder = tempfile::tempdir().unwrap();
            let keeper = Keeper::open(folder.path()).unwrap();
            for expected in [3, 6] {
                seal_rows(&db, 3).await;
                assert_eq!(keeper.keep(&db, now()).await.unwrap(), []);
                assert_eq!(signed(&keeper), expected);
            }
        })
        .await;
    }

    /// Whoever cuts the tail also sets back the database's own head, or the sealer would stumble over it.
    #[tokio::test]
    async fn a_head_is_never_set_back_and_the_cut_is_told() {
        on_both(async |db| {
            let folder = tempfile::tempdir().unwrap();
            let keeper = Keeper::open(folder.path()).unwrap();
            seal_rows(&db, 5).await;
            keeper.keep(&db, now()).await.unwrap();
            crate::audit::verify::tests::tamper(&db, "DELETE FROM audit_trail WHERE seq > 3").await;
            crate::audit::verify::tests::tamper(&db, "DELETE FROM audit_heads").await;
            seal_rows(&db, 1).await;
            assert_eq!(keeper.keep(&db, now()).await.unwrap(), [CLINIC], "shorter");
            seal_rows(&db, 9).await;
            assert_eq!(keeper.keep(&db, now()).await.unwrap(), [CLINIC], "longer again, but another");
            assert_eq!(signed(&keeper), 5);
        })
        .await;
    }

    #[tokio::test]
    async fn a_forged_file_is_left_as_it_is() {
        on_both(async |db| {
            let folder = tempfile::tempdir().unwrap();
            let keeper = Keeper::open(folder.path()).unwrap();
            seal_rows(&db, 2).await;
            keeper.keep(&db, now()).await.unwrap();
            let text = std::fs::read_to_string(&keeper.path).unwrap().replace("\"seq\": 2", "\"seq\": 1");
            std::fs::write(&keeper.path, &text).unwrap();
            assert!(matches!(keeper.keep(&db, now()).await, Err(HeadsError::Forged)));
            assert_eq!(std::fs::read_to_string(&keeper.path).unwrap(), text);
        })
        .await;
    }
}
