//! C-STORE: one instance from the wire into the house (PS3.4, annex B; PS3.7, section 9.1.1).

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use clinical::uid::SopInstanceUid;
use tracing::{debug, warn};

use super::dimse::{Command, response};
use super::events::{ScpEvents, stored_in, tick};
use super::negotiation::{AssociationInfo, Context, is_storage};
use super::pdu::{Incoming, Part, PduError, PduStream};
use super::status::StoreStatus;
use super::{InstanceSink, StoreScp};

/// Takes one instance and returns the response to send.
///
/// Whatever is wrong with the instance, its data set is read to the end and
/// the status comes after its last fragment, so the association goes on.
///
/// # Errors
///
/// The sender broke off or broke the protocol: the sink is dropped, nothing is kept.
pub(crate) async fn receive<S: StoreScp>(
    stream: &mut PduStream,
    store: &S,
    events: &ScpEvents,
    association: &AssociationInfo,
    context: &Context,
    command: &Command,
) -> Result<Vec<u8>, PduError> {
    let started = Instant::now();
    let sink = open(store, association, context, command).await;
    let outcome = match data_set(stream, events, context.id, sink).await {
        Ok(sink) => match sink {
            Ok(sink) => sink.finish().await,
            Err(status) => Err(status),
        },
        Err(error) => {
            tick(&events.instances_failed);
            return Err(error);
        }
    };

    let spent = started.elapsed();
    stored_in(spent);
    let (code, comment) = match &outcome {
        Ok(()) => (StoreStatus::SUCCESS, ""),
        Err(status) => (status.code(), status.comment()),
    };
    let number = association.number;
    let duration_ms = spent.as_secs_f64() * 1000.0;
    if outcome.as_ref().err().is_none_or(StoreStatus::is_stored) {
        tick(&events.instances_stored);
        debug!(association = number, sop_class = %context.sop_class, duration_ms, "instance stored");
    } else {
        tick(&events.instances_failed);
        let status = format_args!("{code:04X}");
        warn!(association = number, sop_class = %context.sop_class, %status, duration_ms, "instance refused");
    }
    Ok(response(command, code, comment))
}

/// Checks what the command set says and asks the house for a place.
async fn open<S: StoreScp>(
    store: &S,
    association: &AssociationInfo,
    context: &Context,
    command: &Command,
) -> Result<S::Sink, StoreStatus> {
    let class = command.sop_class.as_deref().unwrap_or_default();
    let is_ours = class == context.sop_class.as_str().as_bytes() && is_storage(context.sop_class.as_str());
    if !is_ours {
        let comment = "the SOP class is not that of the presentation context";
        return Err(StoreStatus::new(StoreStatus::CLASS_NOT_SUPPORTED, comment));
    }
    if association.identified.as_ref().is_some_and(|identified| !identified.may_store()) {
        return Err(StoreStatus::new(
            StoreStatus::NOT_AUTHORIZED,
            "the key of the association may not store",
        ));
    }
    let instance = command.sop_instance.as_deref().unwrap_or_default();
    let uid = std::str::from_utf8(instance).ok().and_then(|text| text.parse::<SopInstanceUid>().ok());
    let Some(uid) = uid else {
        return Err(StoreStatus::new(StoreStatus::INVALID_INSTANCE, "the SOP Instance UID is not valid"));
    };
    store.begin(association, &context.sop_class, &uid, &context.transfer_syntax).await
}

/// Reads a data set to its last fragment, into the sink as long as that takes it.
async fn data_set<T: InstanceSink>(
    stream: &mut PduStream,
    events: &ScpEvents,
    context_id: u8,
    mut sink: Result<T, StoreStatus>,
) -> Result<Result<T, StoreStatus>, PduError> {
    loop {
        let fragment = match stream.next().await? {
            Incoming::Fragment(fragment) => fragment,
            Incoming::Release => return Err(PduError::Message("a release in the middle of a message")),
            Incoming::Closed => return Err(PduError::Truncated),
        };
        if fragment.part != Part::DataSet || fragment.context_id != context_id {
            return Err(PduError::Message("another message in the middle of a data set"));
        }
        while let Some(piece) = stream.piece().await? {
            events.data_set_bytes.fetch_add(piece.len() as u64, Relaxed);
            sink = write(sink, piece).await;
        }
        if fragment.is_last {
            return Ok(sink);
        }
    }
}

/// Writes a piece; a sink that fails is dropped there and then.
async fn write<T: InstanceSink>(sink: Result<T, StoreStatus>, piece: Bytes) -> Result<T, StoreStatus> {
    let mut sink = sink?;
    sink.write(piece).await?;
    Ok(sink)
}

/// Reads and drops a data set that nobody wants.
pub(crate) async fn discard(
    stream: &mut PduStream,
    events: &ScpEvents,
    context_id: u8,
) -> Result<(), PduError> {
    let nowhere: Result<Nowhere, StoreStatus> = Ok(Nowhere);
    data_set(stream, events, context_id, nowhere).await.map(drop)
}

/// The sink of what is not kept.
struct Nowhere;

impl InstanceSink for Nowhere {
    async fn write(&mut self, _piece: Bytes) -> Result<(), StoreStatus> {
        Ok(())
    }

    async fn finish(self) -> Result<(), StoreStatus> {
        Ok(())
    }
}
