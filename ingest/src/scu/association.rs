//! An association that we have opened.

mod commitment;

use bytes::Bytes;
use dicom_dictionary_std::uids;
use dicom_ul::pdu::{AssociationRQ, UserVariableItem};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{NotSent, Originator, Peer, Proposal, ScuError, ScuSettings};
use crate::scp::dimse::{C_ECHO_RQ, C_STORE_RQ, Response, echo_request, store_request};
use crate::scp::message::{SendError, next_command, send_message};
use crate::scp::negotiation::Context;
use crate::scp::offer::{Offer, choose};
use crate::scp::pdu::{Called, PduError, PduStream};
use crate::scp::query::{DataSetBody, Outgoing, Retrieval};
use crate::scp::wire::Wire;

/// An association on which we are the service class user; one operation at a time.
///
/// Dropped without [`Association::release`], its connection is cut.
pub struct Association {
    stream: PduStream,
    contexts: Vec<Context>,
    peer_max_pdu_bytes: u32,
    last_message_id: u16,
    is_open: bool,
}

impl Association {
    /// Calls `peer` and proposes.
    ///
    /// # Errors
    ///
    /// [`ScuError`]: it is not reached, rejects us, or accepts none of the contexts.
    pub async fn open(peer: &Peer, settings: &ScuSettings, proposal: &Proposal) -> Result<Self, ScuError> {
        Self::call(peer, settings, proposal, proposal.request(peer, settings)).await
    }

    /// Calls `peer` with `request`, which proposes `proposal`.
    async fn call(
        peer: &Peer,
        settings: &ScuSettings,
        proposal: &Proposal,
        request: AssociationRQ,
    ) -> Result<Self, ScuError> {
        let connect = async {
            let stream = TcpStream::connect((peer.host.as_str(), peer.port)).await?;
            stream.set_nodelay(true)?;
            Ok(match &peer.tls {
                Some(tls) => Wire::from(tls.connect(&peer.host, stream).await?),
                None => Wire::from(stream),
            })
        };
        let wire = timeout(settings.connect_wait, connect).await.map_err(|_| ScuError::ConnectSlow)?;
        let mut stream =
            PduStream::new(wire.map_err(ScuError::Connect)?, settings.max_pdu_bytes, settings.answer_wait);
        stream.send(&request.into()).await?;
        let accepted = match stream.associate_answer().await? {
            Called::Accepted(accepted) => accepted,
            Called::Rejected(rejection) => return Err(ScuError::Rejected(rejection.source.to_string())),
        };
        let most = accepted.user_variables.iter().find_map(|item| match item {
            UserVariableItem::MaxLength(bytes) => Some(*bytes),
            _ => None,
        });
        let contexts = proposal.accepted(&accepted.presentation_contexts);
        let association = Self {
            stream,
            contexts,
            peer_max_pdu_bytes: most.unwrap_or(0),
            last_message_id: 0,
            is_open: true,
        };
        if association.contexts.is_empty() {
            association.release().await;
            return Err(ScuError::NothingAccepted);
        }
        Ok(association)
    }

    /// C-ECHO: the status of the response (PS3.4, annex A).
    ///
    /// # Errors
    ///
    /// [`ScuError`]: the peer did not accept Verification, or broke off; then the association is closed.
    pub async fn echo(&mut self) -> Result<u16, ScuError> {
        let context = self.contexts.iter().find(|context| context.sop_class.as_str() == uids::VERIFICATION);
        let context_id = context.ok_or(ScuError::NothingAccepted)?.id;
        let message_id = self.next_message_id()?;
        let request = echo_request(message_id);
        let sent = self.stream.send_command(context_id, &request, self.peer_max_pdu_bytes).await;
        match sent {
            Ok(()) => self.response(C_ECHO_RQ, message_id).await,
            Err(error) => Err(self.broken(error).await),
        }
    }

    /// C-STORE of the instance at `index`, in its stored transfer syntax where the peer has accepted that, else in
    /// another: the status of the response.
    ///
    /// # Errors
    ///
    /// [`NotSent`]; the association goes on unless it is [`NotSent::Scu`].
    pub async fn send<R: Retrieval>(
        &mut self,
        retrieval: &R,
        index: usize,
        originator: Option<&Originator>,
    ) -> Result<u16, NotSent> {
        if !self.is_open {
            return Err(ScuError::Closed.into());
        }
        let instance = retrieval.instances().get(index).ok_or(NotSent::NoContext)?;
        let chosen = choose(self.contexts.iter().map(Offer::of), retrieval, instance);
        let chosen = chosen.ok_or(NotSent::NoContext)?;
        let (context_id, transfer_syntax) = (chosen.id, chosen.transfer_syntax.clone());
        let body = retrieval.open(index, &transfer_syntax).await;
        let body = body.map_err(|status| NotSent::NotOpened(status.comment().to_owned()))?;
        Ok(self.store(context_id, instance, originator, body).await?)
    }

    /// C-STORE over the context `context_id`, in whose transfer syntax `body` is written: the status of the response
    /// (PS3.4, annex B).
    ///
    /// # Errors
    ///
    /// [`ScuError`]: the peer broke off, or the body could not be read; then the association is closed.
    pub async fn store<B: DataSetBody>(
        &mut self,
        context_id: u8,
        instance: &Outgoing,
        originator: Option<&Originator>,
        body: B,
    ) -> Result<u16, ScuError> {
        let message_id = self.next_message_id()?;
        let originator = originator.map(|it| (&it.ae_title, it.message_id));
        let request = store_request(message_id, &instance.sop_class, &instance.sop_instance, originator);
        let sent = send_message(&mut self.stream, context_id, self.peer_max_pdu_bytes, &request, body).await;
        match sent {
            Ok(()) => self.response(C_STORE_RQ, message_id).await,
            Err(SendError::Wire(error)) => Err(self.broken(error).await),
            Err(SendError::Body(status)) => {
                self.broken(PduError::ShuttingDown).await;
                Err(ScuError::Unreadable(status.comment().to_owned()))
            }
        }
    }

    /// Ends it in good order; a peer that does not answer is left.
    pub async fn release(mut self) {
        if self.is_open && self.stream.release().await.is_err() {
            tracing::debug!("a peer did not answer the release");
        }
        self.stream.close().await;
    }

    /// Breaks it off (A-ABORT).
    pub async fn abort(mut self) {
        if self.is_open {
            self.broken(PduError::ShuttingDown).await;
        }
    }

    /// Message IDs count on, each used once at a time (PS3.7, section 9.1.1.1).
    fn next_message_id(&mut self) -> Result<u16, ScuError> {
        if !self.is_open {
            return Err(ScuError::Closed);
        }
        self.last_message_id = self.last_message_id.checked_add(1).unwrap_or(1);
        Ok(self.last_message_id)
    }

    /// Waits for the response to the request under way: its status.
    async fn response(&mut self, field: u16, message_id: u16) -> Result<u16, ScuError> {
        match self.next_response(field, message_id).await {
            Ok(status) => Ok(status),
            Err(error) => Err(self.broken(error).await),
        }
    }

    async fn next_response(&mut self, field: u16, message_id: u16) -> Result<u16, PduError> {
        let (_, bytes): (u8, Bytes) = next_command(&mut self.stream).await?.ok_or(PduError::Truncated)?;
        let response =
            Response::parse(&bytes)?.ok_or(PduError::Message("a request instead of a response"))?;
        if response.field != field || response.message_id != message_id || response.has_data_set {
            return Err(PduError::Message("a response to a request that was never sent"));
        }
        Ok(response.status)
    }

    /// Tells the peer that it is over.
    async fn broken(&mut self, error: PduError) -> ScuError {
        self.is_open = false;
        self.stream.abort(&error).await;
        self.stream.close().await;
        error.into()
    }
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association")
            .field("contexts", &self.contexts)
            .field("is_open", &self.is_open)
            .finish()
    }
}
