//! Storage commitment, push model: a peer asks whether we keep what it has sent, and is told (PS3.4, annex J).
//!
//! The request is kept before it is answered. While the peer waits on its association, the report goes out there;
//! where it has left, the house calls it ([`CommitmentScp::unreported`]). A peer that we have asked reports here too.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use clinical::id::CommitmentId;
use dicom_dictionary_std::uids;
use tracing::{info, warn};

use super::commitment_message::{CommitmentReport, CommitmentRequest, LIMITS};
use super::dimse::{Command, N_ACTION_RQ, N_EVENT_REPORT_RQ, Response, normalized_request, response};
use super::message::put_part;
use super::negotiation::{Context, Negotiated};
use super::pdu::{Part, PduError, PduStream};
use super::status::StoreStatus;
use super::{AssociationInfo, identifier};

/// A peer that says nothing for so long after its request waits for the report.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// More requests than this wait on no association; others are reported on one of their own.
const MOST_OWED: usize = 1_000;

/// What the listener asks of the house about storage commitment. By itself it refuses all of it.
pub trait CommitmentScp: Send + Sync + 'static {
    /// Keeps a request; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// The status of the N-ACTION response.
    fn commit(
        &self,
        association: &AssociationInfo,
        request: &CommitmentRequest,
    ) -> impl Future<Output = Result<CommitmentId, StoreStatus>> + Send {
        let _ = (association, request);
        std::future::ready(Err(not_done()))
    }

    /// What is held of what was asked; `None` where that was reported already, or cannot be said now.
    fn report(
        &self,
        association: &AssociationInfo,
        id: CommitmentId,
    ) -> impl Future<Output = Option<CommitmentReport>> + Send {
        let _ = (association, id);
        std::future::ready(None)
    }

    /// The peer has acknowledged the report.
    fn reported(&self, association: &AssociationInfo, id: CommitmentId) -> impl Future<Output = ()> + Send {
        let _ = (association, id);
        std::future::ready(())
    }

    /// The association has ended without the report: the peer is to be called.
    fn unreported(&self, association: &AssociationInfo, id: CommitmentId) -> impl Future<Output = ()> + Send {
        let _ = (association, id);
        std::future::ready(())
    }

    /// Hears from a peer what it keeps of what we have asked it for.
    ///
    /// # Errors
    ///
    /// The status of the N-EVENT-REPORT response.
    fn hear(
        &self,
        association: &AssociationInfo,
        report: &CommitmentReport,
    ) -> impl Future<Output = Result<(), StoreStatus>> + Send {
        let _ = (association, report);
        std::future::ready(Err(not_done()))
    }
}

fn not_done() -> StoreStatus {
    StoreStatus::new(StoreStatus::UNRECOGNIZED_OPERATION, "no storage commitment here")
}

/// Whether a command set is an operation of storage commitment.
pub(super) fn is_one(command: &Command) -> bool {
    matches!(command.field, N_ACTION_RQ | N_EVENT_REPORT_RQ)
}

/// What is owed to the peer of one association.
#[derive(Debug, Default)]
pub(super) struct Owed {
    waiting: VecDeque<(u8, CommitmentId)>,
    /// The report that the peer has not acknowledged yet, and its Message ID.
    sent: Option<(u16, CommitmentId)>,
    last_message_id: u16,
}

impl Owed {
    /// Whether a report could be sent now.
    pub(super) fn is_due(&self) -> bool {
        self.sent.is_none() && !self.waiting.is_empty()
    }

    /// Does what an N-ACTION or N-EVENT-REPORT request asks; its response.
    ///
    /// # Errors
    ///
    /// The connection failed or the peer broke the protocol.
    pub(super) async fn answer<S: CommitmentScp>(
        &mut self,
        stream: &mut PduStream,
        store: &S,
        association: &AssociationInfo,
        context: &Context,
        command: &Command,
    ) -> Result<Vec<u8>, PduError> {
        let data_set = match command.has_data_set {
            true => Some(identifier::read_data_set(stream, context, &LIMITS).await?),
            false => None,
        };
        let done = match (check(context, command), data_set) {
            (Err(status), _) | (Ok(()), Some(Err(status))) => Err(status),
            (Ok(()), None) => Err(invalid("the request has no data set")),
            (Ok(()), Some(Ok(data_set))) if command.field == N_ACTION_RQ => {
                match CommitmentRequest::read(&data_set) {
                    Some(request) => self.take(store, association, context, &request).await,
                    None => Err(invalid("the request names no transaction, no instances or too many")),
                }
            }
            (Ok(()), Some(Ok(data_set))) => match CommitmentReport::read(&data_set) {
                Some(report) => store.hear(association, &report).await,
                None => Err(invalid("the report names no transaction, no instance in an item, or too many")),
            },
        };
        Ok(match done {
            Ok(()) => response(command, StoreStatus::SUCCESS, ""),
            Err(status) => {
                let (number, code) = (association.number, format_args!("{:04X}", status.code()).to_string());
                warn!(association = number, status = code, "storage commitment refused");
                response(command, status.code(), status.comment())
            }
        })
    }

    async fn take<S: CommitmentScp>(
        &mut self,
        store: &S,
        association: &AssociationInfo,
        context: &Context,
        request: &CommitmentRequest,
    ) -> Result<(), StoreStatus> {
        let id = store.commit(association, request).await?;
        info!(association = association.number, commitment.id = %id, asked = request.asked.len(), "commitment asked");
        if self.waiting.len() < MOST_OWED {
            self.waiting.push_back((context.id, id));
        }
        Ok(())
    }

    /// Sends the next report; its response comes as a message of its own.
    ///
    /// # Errors
    ///
    /// The connection failed.
    pub(super) async fn send_next<S: CommitmentScp>(
        &mut self,
        stream: &mut PduStream,
        store: &S,
        negotiated: &Negotiated,
    ) -> Result<(), PduError> {
        let Some(&(context_id, id)) = self.waiting.front() else { return Ok(()) };
        let context = negotiated.contexts.iter().find(|context| context.id == context_id);
        let report = store.report(&negotiated.info, id).await;
        let (Some(context), Some(report)) = (context, report) else {
            self.waiting.pop_front();
            return Ok(());
        };
        let Ok(data_set) = identifier::write(report.data_set(), &context.transfer_syntax) else {
            self.waiting.pop_front();
            return Ok(());
        };
        self.last_message_id = self.last_message_id.checked_add(1).unwrap_or(1);
        let command = event_report_request(self.last_message_id, &report);
        let (mut out, most) = (Vec::new(), negotiated.peer_max_pdu_bytes);
        put_part(&mut out, context_id, Part::Command, &command, most);
        put_part(&mut out, context_id, Part::DataSet, &data_set, most);
        self.sent = Some((self.last_message_id, id));
        stream.send_prepared(&mut out).await
    }

    /// Takes the response to a report.
    ///
    /// # Errors
    ///
    /// No report was sent under its Message ID.
    pub(super) async fn acknowledged<S: CommitmentScp>(
        &mut self,
        stream: &mut PduStream,
        store: &S,
        negotiated: &Negotiated,
        context: &Context,
        answer: Response,
    ) -> Result<(), PduError> {
        let sent = self.sent.filter(|(message_id, _)| *message_id == answer.message_id);
        let Some((_, id)) = sent.filter(|_| answer.field == N_EVENT_REPORT_RQ) else {
            return Err(PduError::Message("a response to a request that was never sent"));
        };
        if answer.has_data_set {
            // An Event Reply, of which storage commitment knows none.
            identifier::read_data_set(stream, context, &LIMITS).await?.ok();
        }
        self.sent = None;
        self.waiting.pop_front();
        if answer.status == StoreStatus::SUCCESS {
            store.reported(&negotiated.info, id).await;
        } else {
            let status = format!("{:04X}", answer.status);
            warn!(association = negotiated.info.number, commitment.id = %id, status, "a report was refused");
            store.unreported(&negotiated.info, id).await;
        }
        Ok(())
    }

    /// The association is over: what was not acknowledged is reported otherwise.
    pub(super) async fn leave<S: CommitmentScp>(self, store: &S, association: &AssociationInfo) {
        for (_, id) in self.waiting {
            store.unreported(association, id).await;
        }
    }
}

/// An N-EVENT-REPORT request for this report.
pub(crate) fn event_report_request(message_id: u16, report: &CommitmentReport) -> Vec<u8> {
    normalized_request(
        N_EVENT_REPORT_RQ,
        message_id,
        uids::STORAGE_COMMITMENT_PUSH_MODEL,
        uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
        report.event_type(),
    )
}

/// An N-ACTION request of the one action: request storage commitment (PS3.4, section J.3.2).
pub(crate) fn action_request(message_id: u16) -> Vec<u8> {
    normalized_request(
        N_ACTION_RQ,
        message_id,
        uids::STORAGE_COMMITMENT_PUSH_MODEL,
        uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
        1,
    )
}

fn invalid(comment: &'static str) -> StoreStatus {
    StoreStatus::new(StoreStatus::INVALID_ARGUMENT, comment)
}

/// Whether the command set is about storage commitment's one instance, and asks for what it knows.
fn check(context: &Context, command: &Command) -> Result<(), StoreStatus> {
    let is = |value: &Option<bytes::Bytes>, uid: &str| value.as_deref() == Some(uid.as_bytes());
    let class = uids::STORAGE_COMMITMENT_PUSH_MODEL;
    if context.sop_class.as_str() != class || !is(&command.sop_class, class) {
        let comment = "the SOP class is not that of the presentation context";
        return Err(StoreStatus::new(StoreStatus::CLASS_NOT_SUPPORTED, comment));
    }
    if !is(&command.sop_instance, uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE) {
        return Err(StoreStatus::new(StoreStatus::NO_SUCH_INSTANCE, "not storage commitment's instance"));
    }
    match (command.field, command.type_id) {
        (N_ACTION_RQ, Some(1)) | (N_EVENT_REPORT_RQ, Some(1 | 2)) => Ok(()),
        (N_ACTION_RQ, _) => Err(StoreStatus::new(StoreStatus::NO_SUCH_ACTION, "the action is not known")),
        _ => Err(StoreStatus::new(StoreStatus::NO_SUCH_EVENT, "the event is not known")),
    }
}
