//! C-FIND: the matches of a query, one response each (PS3.4, section C.4.1; PS3.7, section 9.1.2).

use std::time::Instant;

use tracing::{debug, warn};

use super::dimse::{response, response_with};
use super::identifier;
use super::message::put_part;
use super::pdu::{Part, PduError};
use super::query::{Match, Matches, Query, QueryScp};
use super::query_retrieve::Operation;
use super::status::StoreStatus;

/// So many bytes of responses are gathered before they are written.
const WRITE_BYTES: usize = 32 * 1024;

/// Answers a C-FIND: pending responses, then the one that ends them.
pub(crate) async fn serve<S: QueryScp>(
    operation: &mut Operation<'_, S>,
    query: &Query,
) -> Result<(), PduError> {
    let started = Instant::now();
    let mut count = 0_u64;
    let end = answer_all(operation, query, &mut count).await?;
    let (number, level) = (operation.negotiated.info.number, query.level().as_str());
    let duration_ms = started.elapsed().as_millis() as u64;
    operation.events.find_answers.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
    match &end {
        Ok(()) => debug!(association = number, level, count, duration_ms, "C-FIND answered"),
        Err(status) => {
            let status = format_args!("{:04X}", status.code());
            warn!(association = number, level, count, %status, duration_ms, "C-FIND ended early");
        }
    }
    match end {
        Ok(()) => operation.send(&response(operation.command, StoreStatus::SUCCESS, "")).await,
        Err(status) => operation.end(&status).await,
    }
}

/// Sends every match; the inner error is the status of the last response.
async fn answer_all<S: QueryScp>(
    operation: &mut Operation<'_, S>,
    query: &Query,
    count: &mut u64,
) -> Result<Result<(), StoreStatus>, PduError> {
    let mut matches = match operation.store.find(&operation.negotiated.info, query).await {
        Ok(matches) => matches,
        Err(status) => return Ok(Err(status)),
    };
    let mut out = Vec::new();
    loop {
        let page = match matches.next_page().await {
            Ok(page) if page.is_empty() => return Ok(Ok(())),
            Ok(page) => page,
            Err(status) => return Ok(Err(status)),
        };
        for found in page {
            if let Err(status) = put(&mut out, operation, found) {
                return Ok(Err(status));
            }
            *count += 1;
            if out.len() >= WRITE_BYTES {
                operation.stream.send_prepared(&mut out).await?;
                if operation.is_cancelled().await? {
                    return Ok(Err(StoreStatus::new(StoreStatus::CANCELLED, "")));
                }
            }
        }
        operation.stream.send_prepared(&mut out).await?;
        if operation.is_cancelled().await? {
            return Ok(Err(StoreStatus::new(StoreStatus::CANCELLED, "")));
        }
    }
}

/// Adds one pending response with its identifier.
fn put<S: QueryScp>(
    out: &mut Vec<u8>,
    operation: &Operation<'_, S>,
    found: Match,
) -> Result<(), StoreStatus> {
    let status = if found.is_whole { StoreStatus::PENDING } else { StoreStatus::PENDING_WITHOUT_SOME_KEYS };
    let (context, most) = (operation.context, operation.negotiated.peer_max_pdu_bytes);
    let data_set = identifier::write(found.data_set, &context.transfer_syntax)?;
    let command = response_with(operation.command, status, "", true, None);
    put_part(out, context.id, Part::Command, &command, most);
    put_part(out, context.id, Part::DataSet, &data_set, most);
    Ok(())
}
