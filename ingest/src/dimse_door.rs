//! The DIMSE listener's way into the hall.

use bytes::Bytes;
use clinical::id::ClinicId;
use clinical::uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid};

use crate::receive::{Fault, Receipt, ReceiveError, Receiver};
use crate::scp::{AssociationInfo, InstanceSink, StoreScp, StoreStatus};
use crate::spool::Spool;

/// Hands what C-STORE brings to the hall.
pub struct DimseDoor {
    receiver: Receiver,
}

impl DimseDoor {
    /// A door into `receiver`.
    pub fn new(receiver: Receiver) -> Self {
        Self { receiver }
    }
}

impl StoreScp for DimseDoor {
    type Sink = HallSink;

    async fn begin(
        &self,
        association: &AssociationInfo,
        sop_class: &SopClassUid,
        sop_instance: &SopInstanceUid,
        transfer_syntax: &TransferSyntaxUid,
    ) -> Result<HallSink, StoreStatus> {
        let calling = association.calling_ae.as_str();
        let head = part10::file_with_meta(sop_class, sop_instance, transfer_syntax, Some(calling));
        let mut spool = self.receiver.spool();
        spool.write(head.into()).await.map_err(|error| status_of(&error.into()))?;
        let receipt = Receipt {
            expected_sop: Some((sop_class.clone(), sop_instance.clone())),
            ..Receipt::from_sender(ClinicId::DEFAULT)
        };
        Ok(HallSink { receiver: self.receiver.clone(), receipt, spool })
    }
}

/// One instance on its way in.
pub struct HallSink {
    receiver: Receiver,
    receipt: Receipt,
    spool: Spool,
}

impl InstanceSink for HallSink {
    async fn write(&mut self, data: Bytes) -> Result<(), StoreStatus> {
        self.spool.write(data).await.map_err(|error| status_of(&error.into()))
    }

    async fn finish(self) -> Result<(), StoreStatus> {
        match self.receiver.receive(self.receipt, self.spool).await {
            Ok(_) => Ok(()),
            Err(error) => Err(status_of(&error)),
        }
    }
}

/// The status of PS3.4, section B.2.3, that tells the sender what to do.
fn status_of(error: &ReceiveError) -> StoreStatus {
    let code = match error.fault() {
        Fault::Sender => StoreStatus::CANNOT_UNDERSTAND,
        Fault::Mismatch => StoreStatus::DATA_SET_MISMATCH,
        Fault::Conflict => StoreStatus::DUPLICATE_INSTANCE,
        Fault::TooLarge => StoreStatus::OUT_OF_RESOURCES,
        Fault::House => {
            tracing::error!(code = error.code(), error = ?error, "an instance was not stored");
            StoreStatus::OUT_OF_RESOURCES
        }
    };
    StoreStatus::new(code, format!("{}: {error}", error.code()))
}
