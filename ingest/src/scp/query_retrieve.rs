//! C-FIND, C-MOVE and C-GET: what they have in common, from the command set to the service.

use tokio::sync::watch;

use super::dimse::{C_FIND_RQ, C_GET_RQ, C_MOVE_RQ, Command, response};
use super::events::{ScpEvents, tick};
use super::negotiation::{Context, Negotiated};
use super::pdu::{PduError, PduStream};
use super::query::{Model, QueryScp, Service};
use super::status::StoreStatus;
use super::{c_find, c_get, c_move, identifier};

/// One operation with all that it needs.
pub(crate) struct Operation<'a, S> {
    pub(crate) stream: &'a mut PduStream,
    pub(crate) store: &'a S,
    pub(crate) events: &'a ScpEvents,
    pub(crate) negotiated: &'a Negotiated,
    pub(crate) context: &'a Context,
    pub(crate) command: &'a Command,
    /// Turns true when the listener shuts down.
    pub(crate) closing: &'a watch::Receiver<bool>,
}

impl<S: QueryScp> Operation<'_, S> {
    /// Whether a command set is one of these operations.
    pub(crate) fn is_one(command: &Command) -> bool {
        service_of(command).is_some()
    }

    /// Does what is asked and sends every response.
    ///
    /// # Errors
    ///
    /// The connection failed or the peer broke the protocol.
    pub(crate) async fn answer(mut self) -> Result<(), PduError> {
        let asked = service_of(self.command);
        let model = Model::of(self.context.sop_class.as_str()).filter(|(_, service)| asked == Some(*service));
        let class = self.command.sop_class.as_deref().unwrap_or_default();
        let is_same_class = class == self.context.sop_class.as_str().as_bytes();
        let Some((model, service)) = model.filter(|_| is_same_class) else {
            if self.command.has_data_set {
                super::c_store::discard(self.stream, self.events, self.context.id).await?;
            }
            let comment = "the SOP class is not that of the presentation context";
            return self.end(&StoreStatus::new(StoreStatus::CLASS_NOT_SUPPORTED, comment)).await;
        };
        if !self.command.has_data_set {
            let comment = "the request has no identifier";
            return self.end(&StoreStatus::new(StoreStatus::DATA_SET_MISMATCH, comment)).await;
        }
        let query = match identifier::read(self.stream, self.context, model).await? {
            Ok(query) => query.combining(self.context.combines_date_and_time),
            Err(status) => return self.end(&status).await,
        };
        match service {
            Service::Find => {
                tick(&self.events.finds);
                c_find::serve(&mut self, &query).await
            }
            Service::Move => {
                tick(&self.events.moves);
                c_move::serve(&mut self, &query).await
            }
            Service::Get => {
                tick(&self.events.gets);
                c_get::serve(&mut self, &query).await
            }
        }
    }

    /// Sends a response without a data set.
    pub(crate) async fn end(&mut self, status: &StoreStatus) -> Result<(), PduError> {
        let answer = response(self.command, status.code(), status.comment());
        self.send(&answer).await
    }

    /// Sends a command set.
    pub(crate) async fn send(&mut self, answer: &[u8]) -> Result<(), PduError> {
        self.stream.send_command(self.context.id, answer, self.negotiated.peer_max_pdu_bytes).await
    }

    /// Whether the peer has ended this operation by a C-CANCEL; never waits.
    ///
    /// # Errors
    ///
    /// Nobody is there any more, or the listener shuts down.
    pub(crate) async fn is_cancelled(&mut self) -> Result<bool, PduError> {
        if *self.closing.borrow() {
            return Err(PduError::ShuttingDown);
        }
        // one for an operation that is over has nothing to end
        Ok(self.stream.take_cancel().await? == Some(self.command.message_id))
    }
}

fn service_of(command: &Command) -> Option<Service> {
    match command.field {
        C_FIND_RQ => Some(Service::Find),
        C_MOVE_RQ => Some(Service::Move),
        C_GET_RQ => Some(Service::Get),
        _ => None,
    }
}
