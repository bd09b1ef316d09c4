//! C-MOVE: instances sent to another application entity (PS3.4, section C.4.2; PS3.7, section 9.1.4).

use clinical::ae_title::AeTitle;
use tracing::{info, warn};

use super::events::tick;
use super::pdu::PduError;
use super::query::{Query, QueryScp, Retrieval, Towards};
use super::query_retrieve::Operation;
use super::status::StoreStatus;
use super::sub_operations::{End, Outcome, Tally};
use crate::scu::{Association, Originator, Proposal, ScuSettings};

/// Sends what is asked for to its destination, then the response that ends it.
pub(crate) async fn serve<S: QueryScp>(
    operation: &mut Operation<'_, S>,
    query: &Query,
) -> Result<(), PduError> {
    let info = &operation.negotiated.info;
    let Some(destination) = destination(operation.command.move_destination.as_deref()) else {
        let comment = "the Move Destination is no AE title";
        return operation.end(&StoreStatus::new(StoreStatus::MOVE_DESTINATION_UNKNOWN, comment)).await;
    };
    let Some(peer) = operation.store.peer(info, &destination).await else {
        warn!(association = info.number, %destination, "C-MOVE to an unknown destination");
        let comment = "the Move Destination is not known here";
        return operation.end(&StoreStatus::new(StoreStatus::MOVE_DESTINATION_UNKNOWN, comment)).await;
    };
    let towards = Towards::Destination(destination.clone());
    let retrieval = match operation.store.retrieve(info, query, &towards).await {
        Ok(retrieval) => retrieval,
        Err(status) => return operation.end(&status).await,
    };
    let mut tally = Tally::of(retrieval.instances().len());
    let mut end = End::Over;
    if !retrieval.instances().is_empty() {
        let proposal = Proposal::of(retrieval.instances());
        let settings = ScuSettings { calling: info.called_ae.clone(), ..ScuSettings::default() };
        let mut association = match Association::open(&peer, &settings, &proposal).await {
            Ok(association) => association,
            Err(error) => {
                warn!(association = info.number, %destination, %error, "the destination was not reached");
                let comment = format!("no association with the Move Destination: {error}");
                let status = StoreStatus::new(StoreStatus::SUB_OPERATIONS_IMPOSSIBLE, comment);
                return operation.end(&status).await;
            }
        };
        let sent = send_all(operation, &retrieval, &mut association, &mut tally).await;
        match sent {
            Ok(how) => {
                end = how;
                association.release().await;
            }
            Err(error) => {
                association.abort().await;
                return Err(error);
            }
        }
    }
    let (sent, failed) = tally.done();
    let level = query.level().as_str();
    info!(association = info.number, %destination, level, sent, failed, "C-MOVE ended");
    let most = operation.negotiated.peer_max_pdu_bytes;
    tally.finish(operation.stream, operation.context, operation.command, most, end).await
}

fn destination(title: Option<&[u8]>) -> Option<AeTitle> {
    std::str::from_utf8(title?).ok()?.parse().ok()
}

/// Sends one instance after the other; once the destination is lost, all the rest has failed.
async fn send_all<S: QueryScp, R: Retrieval>(
    operation: &mut Operation<'_, S>,
    retrieval: &R,
    association: &mut Association,
    tally: &mut Tally,
) -> Result<End, PduError> {
    let info = &operation.negotiated.info;
    let originator =
        Originator { ae_title: info.calling_ae.clone(), message_id: operation.command.message_id };
    for (index, instance) in retrieval.instances().iter().enumerate() {
        if operation.is_cancelled().await? {
            return Ok(End::Cancelled);
        }
        let outcome = match association.send(retrieval, index, Some(&originator)).await {
            Ok(status) => {
                tick(&operation.events.instances_sent);
                Outcome::of(status)
            }
            Err(error) => {
                if tally.tells_why() {
                    warn!(association = info.number, sop_class = %instance.sop_class, %error, "an instance was not sent");
                }
                Outcome::Failed
            }
        };
        tally.note(&instance.sop_instance, outcome);
        let pending = tally.pending(operation.command);
        operation.send(&pending).await?;
    }
    Ok(End::Over)
}
