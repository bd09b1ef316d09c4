//! What stands in the way of an instance: a lock, an earlier rejection, a place that was hidden.

use clinical::id::TombstoneId;
use storage::db::Tx;
use storage::records::instance::{Inserted, Instance};
use storage::records::rejection::{self, Again, Code, Hidden};

use super::{Arrival, Hall, ReceiveError};
use crate::identity::Identity;

/// How an instance comes in that was not simply stored.
#[derive(Default)]
pub(super) struct Way {
    /// What was removed before is there again.
    pub(super) is_restored: bool,
    /// What hides it again once it is stored.
    pub(super) hidden_by: Option<(Code, TombstoneId)>,
    /// It is stored, and stays hidden.
    pub(super) hidden: Option<Inserted>,
}

impl Hall {
    /// Settles what stands in the way of an instance that was not simply stored: a locked study, an earlier
    /// rejection, a place that was hidden.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Rejected`], [`ReceiveError::Locked`], and [`ReceiveError::Conflict`] where other bytes are
    /// kept hidden under the UID: those stay hidden.
    pub(super) async fn make_way(&self, tx: &mut Tx, arrival: &Arrival) -> Result<Way, ReceiveError> {
        let Identity { study_uid, series_uid, sop_uid, .. } = &*arrival.identity;
        let clinic = arrival.receipt.clinic;
        let standing = rejection::standing(tx, clinic, study_uid, series_uid, sop_uid).await?;
        let again = standing.rejected.map(|(code, _)| code.again());
        if again == Some(Again::Refused) {
            return Err(ReceiveError::Rejected(arrival.identity.clone()));
        }
        if standing.is_locked {
            // What is stored already is no change.
            let known = Instance::by_uid(tx, clinic, sop_uid).await?;
            if known.is_none_or(|known| known.sha256 != arrival.sha256) {
                return Err(ReceiveError::Locked(arrival.identity.clone()));
            }
            return Ok(Way::default());
        }
        let hidden = rejection::hidden(tx, clinic, sop_uid).await?;
        if hidden.as_ref().is_some_and(|it| it.sha256 != arrival.sha256 || it.study_uid != *study_uid) {
            return Err(ReceiveError::Conflict(arrival.identity.clone()));
        }
        if again.is_none() && !standing.is_place_hidden {
            return Ok(Way::default());
        }
        if let Some(Hidden { at, .. }) = hidden {
            if again == Some(Again::Hidden) {
                return Ok(Way { hidden: Some(at), ..Way::default() });
            }
        } else if Instance::by_uid(tx, clinic, sop_uid).await?.is_some() {
            // The UID is taken elsewhere: nothing will be stored here that could be shown.
            return Ok(Way::default());
        }
        rejection::restore(tx, clinic, study_uid, series_uid, sop_uid).await?;
        let hidden_by = standing.rejected.filter(|_| again == Some(Again::Hidden));
        Ok(Way { is_restored: true, hidden_by, hidden: None })
    }
}
