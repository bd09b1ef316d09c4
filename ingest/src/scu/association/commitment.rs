//! Storage commitment over an association of ours: we ask a peer, or tell one that has asked us (PS3.4, annex J).

use std::time::Duration;

use dicom_dictionary_std::uids;
use dicom_object::InMemDicomObject;
use dicom_ul::pdu::{RequestorRoles, UserVariableItem};
use tokio::time::timeout;

use super::Association;
use crate::scp::commitment_message::LIMITS;
use crate::scp::dimse::{Command, N_ACTION_RQ, N_EVENT_REPORT_RQ, response};
use crate::scp::identifier;
use crate::scp::message::{next_command, put_part};
use crate::scp::negotiation::Context;
use crate::scp::pdu::{Part, PduError};
use crate::scp::storage_commitment::{action_request, event_report_request};
use crate::scp::{CommitmentReport, CommitmentRequest, StoreStatus};
use crate::scu::{Peer, Proposal, ScuError, ScuSettings};

impl Association {
    /// Calls a peer that has asked us for storage commitment, to tell it what became of that: on this association it
    /// is the SCU and we are the SCP (PS3.4, section J.3.3; PS3.7, annex D.3.3.4).
    ///
    /// # Errors
    ///
    /// As [`Association::open`].
    pub async fn open_to_report(peer: &Peer, settings: &ScuSettings) -> Result<Self, ScuError> {
        let proposal = Proposal::commitment();
        let mut request = proposal.request(peer, settings);
        let roles = RequestorRoles { scu: false, scp: true };
        let class = uids::STORAGE_COMMITMENT_PUSH_MODEL.to_owned();
        request.user_variables.push(UserVariableItem::ScuScpRoleSelectionSubItem(class, roles));
        Self::call(peer, settings, &proposal, request).await
    }

    /// Asks whether the peer keeps instances: the status of its N-ACTION response. Its report comes later, here
    /// ([`Association::await_report`]) or over an association of its own.
    ///
    /// # Errors
    ///
    /// [`ScuError`]: the peer does no storage commitment, or broke off; then the association is closed.
    pub async fn ask_commitment(&mut self, request: &CommitmentRequest) -> Result<u16, ScuError> {
        let context = self.commitment_context()?;
        let message_id = self.next_message_id()?;
        self.send_with_data_set(&context, &action_request(message_id), request.data_set()).await?;
        self.response(N_ACTION_RQ, message_id).await
    }

    /// Tells a peer what is kept of what it has asked: the status of its N-EVENT-REPORT response.
    ///
    /// # Errors
    ///
    /// [`ScuError`]: the peer broke off, or accepts no report; then the association is closed.
    pub async fn report_commitment(&mut self, report: &CommitmentReport) -> Result<u16, ScuError> {
        let context = self.commitment_context()?;
        let message_id = self.next_message_id()?;
        let command = event_report_request(message_id, report);
        self.send_with_data_set(&context, &command, report.data_set()).await?;
        self.response(N_EVENT_REPORT_RQ, message_id).await
    }

    /// Waits for the report of a peer that was asked, and acknowledges it; `None` when none comes within `wait`: it
    /// will come over an association of the peer's.
    ///
    /// # Errors
    ///
    /// [`ScuError`]: the peer broke off or broke the protocol; the association is closed.
    pub async fn await_report(&mut self, wait: Duration) -> Result<Option<CommitmentReport>, ScuError> {
        // Looking whether something comes takes nothing away; what has begun is then read within its own time.
        match timeout(wait, self.stream.readable(wait)).await {
            Err(_) | Ok(Err(PduError::Slow)) => return Ok(None),
            Ok(Err(error)) => return Err(self.broken(error).await),
            Ok(Ok(())) => {}
        }
        match self.next_report().await {
            Ok(report) => Ok(report),
            Err(error) => Err(self.broken(error).await),
        }
    }

    async fn next_report(&mut self) -> Result<Option<CommitmentReport>, PduError> {
        let Some((context_id, bytes)) = next_command(&mut self.stream).await? else {
            self.is_open = false;
            return Ok(None);
        };
        let command = Command::parse(&bytes)?;
        let context = self.contexts.iter().find(|context| context.id == context_id).cloned();
        let context = context.ok_or(PduError::Message("a presentation context that was not accepted"))?;
        if command.field != N_EVENT_REPORT_RQ || !command.has_data_set {
            return Err(PduError::Message("another request than a report"));
        }
        let data_set = identifier::read_data_set(&mut self.stream, &context, &LIMITS).await?;
        let report = data_set.ok().and_then(|data_set| CommitmentReport::read(&data_set));
        let status = if report.is_some() { StoreStatus::SUCCESS } else { StoreStatus::INVALID_ARGUMENT };
        let answer = response(&command, status, "");
        self.stream.send_command(context_id, &answer, self.peer_max_pdu_bytes).await?;
        Ok(report)
    }

    fn commitment_context(&self) -> Result<Context, ScuError> {
        let class = uids::STORAGE_COMMITMENT_PUSH_MODEL;
        let context = self.contexts.iter().find(|context| context.sop_class.as_str() == class);
        context.cloned().ok_or(ScuError::NothingAccepted)
    }

    async fn send_with_data_set(
        &mut self,
        context: &Context,
        command: &[u8],
        data_set: InMemDicomObject,
    ) -> Result<(), ScuError> {
        let data_set = identifier::write(data_set, &context.transfer_syntax)
            .map_err(|status| ScuError::Unreadable(status.comment().to_owned()))?;
        let (mut out, most) = (Vec::new(), self.peer_max_pdu_bytes);
        put_part(&mut out, context.id, Part::Command, command, most);
        put_part(&mut out, context.id, Part::DataSet, &data_set, most);
        match self.stream.send_prepared(&mut out).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.broken(error).await),
        }
    }
}
