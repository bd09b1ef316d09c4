//! C-GET: instances sent over the association on which they are asked for (PS3.4, section C.4.3; PS3.7, section 9.1.3).

use tracing::{info, warn};

use super::dimse::{C_CANCEL_RQ, C_STORE_RQ, Command, Response, store_request};
use super::events::tick;
use super::message::{SendError, next_command, send_message};
use super::offer::{Offer, choose};
use super::pdu::PduError;
use super::query::{Query, QueryScp, Retrieval, Towards};
use super::query_retrieve::Operation;
use super::sub_operations::{End, Outcome, Tally};

/// Sends what is asked for, then the response that ends it.
pub(crate) async fn serve<S: QueryScp>(
    operation: &mut Operation<'_, S>,
    query: &Query,
) -> Result<(), PduError> {
    let info = &operation.negotiated.info;
    let retrieval = match operation.store.retrieve(info, query, &Towards::Requestor).await {
        Ok(retrieval) => retrieval,
        Err(status) => return operation.end(&status).await,
    };
    let mut tally = Tally::of(retrieval.instances().len());
    let mut end = End::Over;
    for (index, instance) in retrieval.instances().iter().enumerate() {
        if operation.is_cancelled().await? {
            end = End::Cancelled;
            break;
        }
        let outcome = store_one(operation, &retrieval, index, &tally, &mut end).await?;
        tally.note(&instance.sop_instance, outcome);
        if end == End::Cancelled {
            break;
        }
        let pending = tally.pending(operation.command);
        operation.send(&pending).await?;
    }
    let ((sent, failed), number) = (tally.done(), info.number);
    info!(association = number, level = query.level().as_str(), sent, failed, "C-GET ended");
    let most = operation.negotiated.peer_max_pdu_bytes;
    tally.finish(operation.stream, operation.context, operation.command, most, end).await
}

/// One C-STORE over the association's own context for its class.
async fn store_one<S: QueryScp, R: Retrieval>(
    operation: &mut Operation<'_, S>,
    retrieval: &R,
    index: usize,
    tally: &Tally,
    end: &mut End,
) -> Result<Outcome, PduError> {
    let instance = &retrieval.instances()[index];
    let number = operation.negotiated.info.number;
    let contexts = operation.negotiated.contexts.iter().filter(|context| context.takes_storage);
    let Some(context) = choose(contexts.map(Offer::of), retrieval, instance) else {
        if tally.tells_why() {
            warn!(association = number, sop_class = %instance.sop_class, "no context takes an instance");
        }
        return Ok(Outcome::Failed);
    };
    let body = match retrieval.open(index, context.transfer_syntax).await {
        Ok(body) => body,
        Err(status) => {
            if tally.tells_why() {
                warn!(association = number, comment = status.comment(), "an instance was not opened");
            }
            return Ok(Outcome::Failed);
        }
    };
    let message_id = (index as u16).wrapping_add(1);
    let request = store_request(message_id, &instance.sop_class, &instance.sop_instance, None);
    let most = operation.negotiated.peer_max_pdu_bytes;
    match send_message(operation.stream, context.id, most, &request, body).await {
        Ok(()) => {}
        Err(SendError::Wire(error)) => return Err(error),
        Err(SendError::Body(status)) => {
            warn!(association = number, comment = status.comment(), "an instance was not read to its end");
            return Err(PduError::Message("a stored data set was not read to its end"));
        }
    }
    tick(&operation.events.instances_sent);
    await_response(operation, message_id, end).await
}

/// Waits for the response to a C-STORE of ours; a C-CANCEL may come first.
async fn await_response<S: QueryScp>(
    operation: &mut Operation<'_, S>,
    message_id: u16,
    end: &mut End,
) -> Result<Outcome, PduError> {
    loop {
        let (_, bytes) = next_command(operation.stream).await?.ok_or(PduError::Truncated)?;
        if let Some(response) = Response::parse(&bytes)? {
            let is_ours = response.field == C_STORE_RQ && response.message_id == message_id;
            if !is_ours || response.has_data_set {
                return Err(PduError::Message("a response to a request that was never sent"));
            }
            return Ok(Outcome::of(response.status));
        }
        let command = Command::parse(&bytes)?;
        if command.field != C_CANCEL_RQ || command.has_data_set {
            return Err(PduError::Message("another request during a C-GET"));
        }
        if command.cancels == Some(operation.command.message_id) {
            *end = End::Cancelled;
        }
    }
}
