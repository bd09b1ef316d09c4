//! One connection from its first PDU to its last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use dicom_ul::pdu::{AssociationRJ, AssociationRQ, Pdu};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::dimse::{C_CANCEL_RQ, C_ECHO_RQ, C_STORE_RQ, COMMAND_BYTES, Command, Response, response};
use super::events::{Open, ScpEvents, tick};
use super::negotiation::{Context, Negotiated, Refusal, local_limit_exceeded, negotiate};
use super::pdu::{Fragment, Incoming, Part, PduError, PduStream};
use super::query_retrieve::Operation;
use super::rights::Rights;
use super::status::StoreStatus;
use super::storage_commitment::{self, Owed, PATIENCE};
use super::user_identity::{self, Judged};
use super::wire::Wire;
use super::{KnownTitles, ScpSettings, StoreScp, c_echo, c_store};
use crate::tls::TlsServer;

/// What all connections of a listener share.
pub(crate) struct House<S> {
    pub(crate) settings: ScpSettings,
    pub(crate) store: Arc<S>,
    pub(crate) events: Arc<ScpEvents>,
    /// One permit for each association that may be open at a time.
    pub(crate) associations: Semaphore,
    /// Turns true when the listener shuts down.
    pub(crate) closing: watch::Receiver<bool>,
}

/// Serves one connection; every way out closes it and leaves nothing half done.
pub(crate) async fn serve<S: StoreScp>(
    house: Arc<House<S>>,
    stream: TcpStream,
    tls: Option<TlsServer>,
    peer: SocketAddr,
    number: u64,
) {
    let _open = Open::count(&house.events.connections_open);
    let settings = &house.settings;
    let mut closing = house.closing.clone();
    let Some(wire) = greet(&house, stream, tls, &mut closing, peer, number).await else { return };
    let mut stream = PduStream::new(wire, settings.max_pdu_bytes, settings.transfer_wait);
    if let Err(error) = converse(&house, &mut stream, &mut closing, peer, number).await {
        match error {
            PduError::Aborted | PduError::Io(_) => {
                debug!(association = number, %peer, %error, "connection lost")
            }
            PduError::ShuttingDown => debug!(association = number, %peer, "association closed by shutdown"),
            _ => warn!(association = number, %peer, %error, "association aborted"),
        }
        tick(&house.events.associations_aborted);
        stream.abort(&error).await;
    }
    stream.close().await;
}

/// The connection with TLS greeted, where it is to be; `None` when that failed.
async fn greet<S: StoreScp>(
    house: &House<S>,
    stream: TcpStream,
    tls: Option<TlsServer>,
    closing: &mut watch::Receiver<bool>,
    peer: SocketAddr,
    number: u64,
) -> Option<Wire> {
    let Some(tls) = tls else { return Some(stream.into()) };
    let greeted = tokio::select! {
        greeted = timeout(house.settings.artim, tls.accept(stream)) => greeted,
        _ = closing.wait_for(|&closing| closing) => return None,
    };
    match greeted {
        Ok(Ok(stream)) => return Some(stream.into()),
        Ok(Err(error)) => warn!(association = number, %peer, %error, "TLS was not agreed on"),
        Err(_) => warn!(association = number, %peer, "TLS was not agreed on in time"),
    }
    tick(&house.events.tls_failures);
    None
}

async fn converse<S: StoreScp>(
    house: &House<S>,
    stream: &mut PduStream,
    closing: &mut watch::Receiver<bool>,
    peer: SocketAddr,
    number: u64,
) -> Result<(), PduError> {
    let request = tokio::select! {
        request = timeout(house.settings.artim, stream.associate_rq()) => request,
        _ = closing.wait_for(|&closing| closing) => return Err(PduError::ShuttingDown),
    };
    let (request, titles) = request.map_err(|_| PduError::Slow)??;
    let known = match (request.called_ae_title.parse(), request.calling_ae_title.parse()) {
        (Ok(called), Ok(calling)) => house.store.known_titles(&called, &calling).await,
        _ => KnownTitles::default(),
    };
    let mut negotiated = match negotiate(&request, &house.settings, known, number, peer) {
        Ok(negotiated) => negotiated,
        Err(Refusal::Abort(error)) => return Err(error),
        Err(Refusal::Reject(rejection)) => return reject(house, stream, rejection, number, peer).await,
    };
    if let Err(rejection) = identify(house, &request, known, &mut negotiated).await {
        return reject(house, stream, rejection, number, peer).await;
    }
    drop(request);
    let Ok(_permit) = house.associations.try_acquire() else {
        return reject(house, stream, local_limit_exceeded(), number, peer).await;
    };
    let _open = Open::count(&house.events.associations_open);
    tick(&house.events.associations_accepted);
    stream.send_accept(&negotiated.answer.clone().into(), &titles).await?;
    debug!(
        association = number, %peer, calling = %negotiated.info.calling_ae, called = %negotiated.info.called_ae,
        contexts = negotiated.contexts.len(), "association accepted"
    );

    let started = Instant::now();
    let mut messages = 0_u64;
    let mut owed = Owed::default();
    let mut rights = Rights::new(known, &negotiated.info);
    let spoken = speak(house, stream, closing, &negotiated, &mut rights, &mut owed, &mut messages).await;
    owed.leave(&*house.store, &negotiated.info).await;
    spoken?;
    info!(
        association = number, calling = %negotiated.info.calling_ae, messages,
        duration_ms = started.elapsed().as_millis() as u64, "association ended"
    );
    Ok(())
}

/// Answers one message after the other, until the peer releases the association or leaves.
async fn speak<S: StoreScp>(
    house: &House<S>,
    stream: &mut PduStream,
    closing: &mut watch::Receiver<bool>,
    negotiated: &Negotiated,
    rights: &mut Rights,
    owed: &mut Owed,
    messages: &mut u64,
) -> Result<(), PduError> {
    let store = &*house.store;
    loop {
        // A peer that says nothing after it has asked for storage commitment waits for the report.
        if owed.is_due() && timeout(PATIENCE, stream.readable(house.settings.idle)).await.is_err() {
            owed.send_next(stream, store, negotiated).await?;
        }
        let Some((context, bytes)) = next_message(house, stream, closing, negotiated).await? else {
            return Ok(());
        };
        *messages += 1;
        if let Some(answer) = Response::parse(&bytes)? {
            owed.acknowledged(stream, store, negotiated, context, answer).await?;
            continue;
        }
        let command = Command::parse(&bytes)?;
        if let Some(status) = rights.refusal(house, &negotiated.info, context).await {
            refuse(house, stream, negotiated, context, &command, &status).await?;
        } else if storage_commitment::is_one(&command) {
            let reply = owed.answer(stream, store, &negotiated.info, context, &command).await?;
            stream.send_command(context.id, &reply, negotiated.peer_max_pdu_bytes).await?;
        } else {
            answer(house, stream, negotiated, context, &command).await?;
        }
    }
}

/// Answers an operation that the association may no longer ask for; a cancel has no response.
async fn refuse<S: StoreScp>(
    house: &House<S>,
    stream: &mut PduStream,
    negotiated: &Negotiated,
    context: &Context,
    command: &Command,
    status: &StoreStatus,
) -> Result<(), PduError> {
    if command.has_data_set {
        c_store::discard(stream, &house.events, context.id).await?;
    }
    if command.field == C_CANCEL_RQ {
        return Ok(());
    }
    let (number, code) = (negotiated.info.number, format_args!("{:04X}", status.code()).to_string());
    warn!(association = number, status = code, "an operation was refused: {}", status.comment());
    let reply = response(command, status.code(), status.comment());
    stream.send_command(context.id, &reply, negotiated.peer_max_pdu_bytes).await
}

/// Lets the house judge a user identity, where one is shown or needed; without one, titles decide who may read.
async fn identify<S: StoreScp>(
    house: &House<S>,
    request: &AssociationRQ,
    known: KnownTitles,
    negotiated: &mut Negotiated,
) -> Result<(), AssociationRJ> {
    let shown = user_identity::shown(request);
    let judged = match &shown {
        Some(shown) => house.store.judge(&negotiated.info, &shown.text).await,
        None => Judged::Foreign,
    };
    let identified = user_identity::decide(judged, house.settings.needs_identity)?;
    if let (Some(identified), Some(shown)) = (identified, &shown) {
        negotiated.admit(identified, shown);
    } else if !known.calling && !house.settings.query_calling.contains(&negotiated.info.calling_ae) {
        negotiated.withhold_reading();
    }
    Ok(())
}

async fn reject<S: StoreScp>(
    house: &House<S>,
    stream: &mut PduStream,
    rejection: AssociationRJ,
    number: u64,
    peer: SocketAddr,
) -> Result<(), PduError> {
    tick(&house.events.associations_rejected);
    warn!(association = number, %peer, reason = %rejection.source, "association rejected");
    stream.send(&rejection.into()).await?;
    stream.linger().await;
    Ok(())
}

/// The next message's context and command set; `None` when the peer has released the association or left.
async fn next_message<'a, S: StoreScp>(
    house: &House<S>,
    stream: &mut PduStream,
    closing: &mut watch::Receiver<bool>,
    negotiated: &'a Negotiated,
) -> Result<Option<(&'a Context, Bytes)>, PduError> {
    tokio::select! {
        biased;
        _ = closing.wait_for(|&closing| closing) => return Err(PduError::ShuttingDown),
        readable = stream.readable(house.settings.idle) => readable?,
    }
    let fragment = match stream.next().await? {
        Incoming::Fragment(fragment) => fragment,
        Incoming::Release => {
            stream.send(&Pdu::ReleaseRP).await?;
            return Ok(None);
        }
        Incoming::Closed => return Ok(None),
    };
    let context = negotiated.contexts.iter().find(|context| context.id == fragment.context_id);
    let context = context.ok_or(PduError::Message("a presentation context that was not accepted"))?;
    Ok(Some((context, command_set(stream, fragment).await?)))
}

/// The whole command set that begins with this fragment.
pub(crate) async fn command_set(stream: &mut PduStream, first: Fragment) -> Result<Bytes, PduError> {
    let mut whole = BytesMut::new();
    let mut fragment = first;
    loop {
        if fragment.part != Part::Command || fragment.context_id != first.context_id {
            return Err(PduError::Message("a data set without its command set"));
        }
        while let Some(piece) = stream.piece().await? {
            if whole.len() + piece.len() > COMMAND_BYTES {
                return Err(PduError::Message("a command set beyond the limit"));
            }
            whole.extend_from_slice(&piece);
        }
        if fragment.is_last {
            return Ok(whole.freeze());
        }
        fragment = match stream.next().await? {
            Incoming::Fragment(next) => next,
            Incoming::Release => return Err(PduError::Message("a release in the middle of a message")),
            Incoming::Closed => return Err(PduError::Truncated),
        };
    }
}

/// Does what one message asks and sends its response.
async fn answer<S: StoreScp>(
    house: &House<S>,
    stream: &mut PduStream,
    negotiated: &Negotiated,
    context: &Context,
    command: &Command,
) -> Result<(), PduError> {
    let events = &*house.events;
    if Operation::<S>::is_one(command) {
        let (store, closing) = (&*house.store, &house.closing);
        let operation = Operation { stream, store, events, negotiated, context, command, closing };
        return operation.answer().await;
    }
    let reply = if command.field == C_STORE_RQ && command.has_data_set {
        c_store::receive(stream, &*house.store, events, &negotiated.info, context, command).await?
    } else {
        if command.has_data_set {
            c_store::discard(stream, events, context.id).await?;
        }
        match command.field {
            C_ECHO_RQ => {
                tick(&events.echoes);
                c_echo::answer(command)
            }
            C_STORE_RQ => {
                tick(&events.instances_failed);
                response(command, StoreStatus::CANNOT_UNDERSTAND, "the C-STORE has no data set")
            }
            // Nothing is under way that could be cancelled, and a cancel has no response.
            C_CANCEL_RQ => return Ok(()),
            _ => response(command, StoreStatus::UNRECOGNIZED_OPERATION, ""),
        }
    };
    stream.send_command(context.id, &reply, negotiated.peer_max_pdu_bytes).await
}
