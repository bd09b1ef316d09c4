//! How far a C-MOVE or C-GET is: what its responses count and what its end says.
//!
//! Source: DICOM PS3.4, sections C.4.2.1 and C.4.3.1; PS3.7, section 9.1.3.1.

use clinical::uid::SopInstanceUid;

use super::dimse::{Command, SubOperationCounts, response_with};
use super::identifier;
use super::message::put_part;
use super::negotiation::Context;
use super::pdu::{Part, PduError, PduStream};
use super::status::StoreStatus;

/// So many failed instances are named; the list of a response holds no more.
const MOST_NAMED: usize = 1_024;

/// Of so many failed instances it is logged why.
const MOST_LOGGED: usize = 10;

/// What became of one C-STORE sub-operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Success.
    Completed,
    /// Stored, with a warning.
    Warned,
    /// Not stored, or not even sent.
    Failed,
}

impl Outcome {
    /// What the status of a C-STORE response means (PS3.7, annex C).
    pub(crate) fn of(status: u16) -> Self {
        match status {
            0x0000 => Self::Completed,
            code if StoreStatus::new(code, "").is_stored() => Self::Warned,
            _ => Self::Failed,
        }
    }
}

/// How the sub-operations have gone so far.
#[derive(Debug)]
pub(crate) struct Tally {
    remaining: usize,
    completed: usize,
    failed: usize,
    warned: usize,
    failed_instances: Vec<SopInstanceUid>,
}

impl Tally {
    pub(crate) fn of(count: usize) -> Self {
        Self { remaining: count, completed: 0, failed: 0, warned: 0, failed_instances: Vec::new() }
    }

    /// One more is over.
    pub(crate) fn note(&mut self, instance: &SopInstanceUid, outcome: Outcome) {
        self.remaining = self.remaining.saturating_sub(1);
        match outcome {
            Outcome::Completed => self.completed += 1,
            Outcome::Warned => self.warned += 1,
            Outcome::Failed => {
                self.failed += 1;
                if self.failed_instances.len() < MOST_NAMED {
                    self.failed_instances.push(instance.clone());
                }
            }
        }
    }

    /// Whether it is logged why another instance fails: of the many of a study that all fail alike, only the first are.
    pub(crate) fn tells_why(&self) -> bool {
        self.failed < MOST_LOGGED
    }

    /// Completed and failed so far, for the log.
    pub(crate) fn done(&self) -> (usize, usize) {
        (self.completed + self.warned, self.failed)
    }

    fn counts(&self, is_open: bool) -> SubOperationCounts {
        let number = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        SubOperationCounts {
            remaining: is_open.then(|| number(self.remaining)),
            completed: number(self.completed),
            failed: number(self.failed),
            warning: number(self.warned),
        }
    }

    /// The status of the last response (PS3.4, tables C.4-2 and C.4-3).
    fn final_status(&self) -> u16 {
        match (self.completed + self.warned, self.failed, self.warned) {
            (_, 0, 0) => StoreStatus::SUCCESS,
            (0, _, _) => StoreStatus::SUB_OPERATIONS_IMPOSSIBLE,
            _ => StoreStatus::SUB_OPERATIONS_FAILED,
        }
    }

    /// A pending response, ready to send.
    pub(crate) fn pending(&self, command: &Command) -> Vec<u8> {
        response_with(command, StoreStatus::PENDING, "", false, Some(self.counts(true)))
    }

    /// Sends the last response: what has failed is named in its data set.
    pub(crate) async fn finish(
        &self,
        stream: &mut PduStream,
        context: &Context,
        command: &Command,
        peer_max_pdu_bytes: u32,
        end: End,
    ) -> Result<(), PduError> {
        let (status, is_open) = match end {
            End::Over => (self.final_status(), false),
            End::Cancelled => (StoreStatus::CANCELLED, true),
        };
        let list = match self.failed_instances.is_empty() {
            true => None,
            false => {
                let list = identifier::failed_list(&self.failed_instances);
                identifier::write(list, &context.transfer_syntax).ok()
            }
        };
        let answer = response_with(command, status, "", list.is_some(), Some(self.counts(is_open)));
        let mut out = Vec::with_capacity(512);
        put_part(&mut out, context.id, Part::Command, &answer, peer_max_pdu_bytes);
        if let Some(list) = list {
            put_part(&mut out, context.id, Part::DataSet, &list, peer_max_pdu_bytes);
        }
        stream.send_prepared(&mut out).await
    }
}

/// Why the sub-operations end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// None is left.
    Over,
    /// The peer has sent a C-CANCEL.
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::of(outcomes.len());
        for (number, outcome) in outcomes.iter().enumerate() {
            tally.note(&format!("1.{number}").parse().unwrap(), *outcome);
        }
        tally
    }

    /// PS3.4, table C.4-2: 0000, B000 (one or more failures or warnings), A702 (unable to perform sub-operations).
    #[test]
    fn the_last_status_says_how_it_went() {
        use Outcome::{Completed, Failed, Warned};
        for (outcomes, status) in [
            (&[][..], 0x0000),
            (&[Completed, Completed], 0x0000),
            (&[Completed, Failed], 0xB000),
            (&[Completed, Warned], 0xB000),
            (&[Warned], 0xB000),
            (&[Failed, Failed], 0xA702),
        ] {
            assert_eq!(tally(outcomes).final_status(), status, "{outcomes:?}");
        }
    }

    #[test]
    fn counts_add_up_and_the_failed_are_named() {
        let mut tally = tally(&[Outcome::Completed, Outcome::Failed, Outcome::Warned]);
        tally.remaining = 70_000;
        let counts = tally.counts(true);
        assert_eq!(
            counts,
            SubOperationCounts { remaining: Some(u16::MAX), completed: 1, failed: 1, warning: 1 }
        );
        assert_eq!(tally.counts(false).remaining, None);
        assert_eq!(tally.failed_instances, ["1.1".parse().unwrap()]);
    }

    #[test]
    fn of_the_many_that_fail_alike_only_the_first_are_told() {
        let mut tally = Tally::of(65_535);
        let mut told = 0;
        for number in 0..1_000 {
            told += usize::from(tally.tells_why());
            tally.note(&format!("1.{number}").parse().unwrap(), Outcome::Failed);
        }
        assert_eq!((told, tally.done()), (MOST_LOGGED, (0, 1_000)));
    }

    /// PS3.7, annex C: B000 is a warning and the instance is kept, A700 a refusal.
    #[test]
    fn a_store_status_is_an_outcome() {
        assert_eq!(Outcome::of(0x0000), Outcome::Completed);
        assert_eq!(Outcome::of(0xB000), Outcome::Warned);
        assert_eq!(Outcome::of(0xA700), Outcome::Failed);
    }
}
