//! What a door hands in, what it gets back, and why it may get nothing.

use chrono::{DateTime, Utc};
use clinical::ae_title::AeTitle;
use clinical::audit::{Actor, Entry, Outcome};
use clinical::id::{ClinicId, InstanceId, PatientId, StudyId};
use clinical::uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid};
use deidentify::DeidentifyError;
use part10::Part10Error;
use storage::archive::ArchiveError;
use storage::db::DbError;
use storage::records::instance::Instance;
use storage::records::quarantine::HeldReason;

pub use storage::records::instance::Origin;

use crate::identity::{Identity, IdentityError};
use crate::spool::SpoolError;

/// What a door knows of the bytes it hands in.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Whose instance it becomes.
    pub clinic: ClinicId,
    /// Who made the bytes.
    pub origin: Origin,
    /// The name under which a person uploaded the file.
    pub file_name: Option<String>,
    /// The title of the sender, where it came over DIMSE: by it, too, is decided where it is forwarded to.
    pub calling_ae: Option<AeTitle>,
    /// The study that the door was told; any other is refused.
    pub expected_study: Option<StudyInstanceUid>,
    /// The SOP Class and Instance UID that the door was told; any other is refused.
    pub expected_sop: Option<(SopClassUid, SopInstanceUid)>,
    /// Whether the sender may reject what is stored: a rejection note from any other is stored without effect.
    pub may_reject: bool,
}

impl Receipt {
    /// From a sender who may reject, with nothing else known.
    pub fn from_sender(clinic: ClinicId) -> Self {
        Self {
            clinic,
            origin: Origin::Sender,
            file_name: None,
            calling_ae: None,
            expected_study: None,
            expected_sop: None,
            may_reject: true,
        }
    }
}

/// What became of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// A new instance.
    Stored,
    /// The same bytes were stored already; there is no second copy.
    AlreadyStored,
    /// Other bytes under a known UID, kept aside as a version.
    KeptAside,
    /// Other bytes under a known UID, now the current ones.
    Replaced,
}

impl Disposition {
    /// The stable word for answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::AlreadyStored => "already-stored",
            Self::KeptAside => "kept-aside",
            Self::Replaced => "replaced",
        }
    }
}

/// A durable instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Our identifier of the instance under the UID.
    pub instance_id: InstanceId,
    /// Its study.
    pub study_id: StudyId,
    /// Its patient.
    pub patient_id: PatientId,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// What became of the bytes.
    pub disposition: Disposition,
    /// When the bytes were stored.
    pub stored_at: DateTime<Utc>,
}

impl Received {
    /// What is told of a newcomer whose UID is taken: where the stored instance lies, which need not be the study
    /// and series that the newcomer names.
    pub(crate) fn known(known: Instance, disposition: Disposition) -> Self {
        Self {
            instance_id: known.instance_id,
            study_id: known.study_id,
            patient_id: known.patient_id,
            study_uid: known.study_uid,
            series_uid: known.series_uid,
            sop_uid: known.sop_uid,
            sop_class_uid: known.sop_class_uid,
            disposition,
            stored_at: known.stored_at,
        }
    }

    /// The row of the audit trail for a door that no caller with a token has opened: `route` names the door,
    /// `detail` who sent.
    pub fn entry(
        &self,
        clinic: ClinicId,
        at: DateTime<Utc>,
        route: &str,
        address: Option<String>,
        detail: serde_json::Value,
    ) -> Entry {
        Entry {
            clinic_id: clinic,
            at,
            actor: Actor::System,
            role: None,
            session: None,
            action: "study:create".to_owned(),
            record_id: Some(self.study_id.to_string()),
            patient_id: Some(self.patient_id),
            route: route.to_owned(),
            address,
            request_id: None,
            outcome: Outcome::Success,
            detail: Some(detail),
        }
    }
}

/// Whose fault a refusal is, from which each door makes its own status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are no instance that can be stored.
    Sender,
    /// The bytes belong to another study or SOP than the door was told.
    Mismatch,
    /// Other bytes are stored under the UID, and the house rejects newcomers.
    Conflict,
    /// The bytes are too many.
    TooLarge,
    /// The study is locked, or the instance was rejected before.
    Closed,
    /// There is no room left: on the disk, or for the clinic.
    Full,
    /// The object is held back until a person has judged it.
    Held,
    /// Ours: the disk, the store or the database failed.
    House,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The bytes are no whole, well-formed DICOM file.
    #[error(transparent)]
    Part10(#[from] Part10Error),
    /// The instance cannot be told from others.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The instance belongs to another study than the door was told.
    #[error("the instance belongs to another study")]
    OtherStudy(Box<Identity>),
    /// The instance is another than the door was told.
    #[error("the data set is of another SOP Class or Instance than announced")]
    OtherSop(Box<Identity>),
    /// Other bytes are stored under this SOP Instance UID.
    #[error("other bytes are stored under this SOP Instance UID")]
    Conflict(Box<Identity>),
    /// Nothing may be stored into the study.
    #[error("the study is locked")]
    Locked(Box<Identity>),
    /// A rejection note has said that this instance is not to be used.
    #[error("the instance was rejected before")]
    Rejected(Box<Identity>),
    /// The disk is nearly full, or the clinic has used up its room.
    #[error("there is no room left for it")]
    Full,
    /// The object is kept apart until a person has judged it.
    #[error("the object is held back: {}", .0.as_str())]
    Held(HeldReason, Option<Box<Identity>>),
    /// The clinic's rule is to de-identify what comes in, and this object cannot be.
    #[error(transparent)]
    Deidentify(DeidentifyError),
    /// The clinic's rule is to de-identify what comes in, and its key is not at hand.
    #[error("the key for pseudonyms is not at hand")]
    NoProject,
    /// The bytes could not be taken in.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The reading of the file was cut short inside the house.
    #[error("the file could not be examined")]
    Examine(#[source] tokio::task::JoinError),
}

impl ReceiveError {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Part10(error) => error.code(),
            Self::Identity(error) => error.code(),
            Self::OtherStudy(_) => "other-study",
            Self::OtherSop(_) => "other-sop-instance",
            Self::Conflict(_) => "instance-conflict",
            Self::Locked(_) => "study-locked",
            Self::Rejected(_) => "instance-rejected",
            Self::Full | Self::Spool(SpoolError::Full) => "insufficient-storage",
            Self::Held(..) => "held-back",
            Self::Deidentify(error) => error.code(),
            Self::NoProject => "no-project-key",
            Self::Spool(SpoolError::TooLarge { .. }) => "too-large",
            Self::Spool(SpoolError::File(_)) => "spool-failed",
            Self::Archive(_) => "archive-failed",
            Self::Database(_) => "database-failed",
            Self::Examine(_) => "examine-failed",
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            error if is_full(error) => Fault::Full,
            Self::Part10(Part10Error::Io(_)) => Fault::House,
            Self::Part10(Part10Error::TooLarge { .. } | Part10Error::InflateBomb) => Fault::TooLarge,
            Self::Part10(_) | Self::Identity(_) => Fault::Sender,
            Self::OtherStudy(_) | Self::OtherSop(_) => Fault::Mismatch,
            Self::Conflict(_) => Fault::Conflict,
            Self::Locked(_) | Self::Rejected(_) => Fault::Closed,
            Self::Spool(SpoolError::TooLarge { .. }) => Fault::TooLarge,
            Self::Full | Self::Spool(SpoolError::Full) => Fault::Full,
            Self::Held(..) => Fault::Held,
            Self::Deidentify(DeidentifyError::Io(_)) | Self::NoProject => Fault::House,
            Self::Deidentify(_) => Fault::Sender,
            Self::Spool(SpoolError::File(_)) | Self::Archive(_) | Self::Database(_) | Self::Examine(_) => {
                Fault::House
            }
        }
    }

    /// SOP Class and Instance UID of the refused object, where it could be read that far.
    pub fn identity(&self) -> Option<(SopClassUid, SopInstanceUid)> {
        match self {
            Self::OtherStudy(identity)
            | Self::OtherSop(identity)
            | Self::Conflict(identity)
            | Self::Locked(identity)
            | Self::Rejected(identity)
            | Self::Held(_, Some(identity)) => {
                Some((identity.sop_class_uid.clone(), identity.sop_uid.clone()))
            }
            _ => None,
        }
    }
}

impl From<DeidentifyError> for ReceiveError {
    fn from(error: DeidentifyError) -> Self {
        match error {
            DeidentifyError::Part10(error) => Self::Part10(error),
            error => Self::Deidentify(error),
        }
    }
}

impl From<std::io::Error> for ReceiveError {
    fn from(error: std::io::Error) -> Self {
        Self::Spool(error.into())
    }
}

/// Whether at the bottom of it a disk is full: of the spool, of the archive, of the database.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind;
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return true;
        }
        // SQLITE_FULL says so in words alone, and so does PostgreSQL's 53100
        let text = error.to_string();
        if text.contains("database or disk is full") || text.contains("No space left on device") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_known_wherever_it_shows() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(ReceiveError::from(full()).fault(), Fault::Full);
        assert_eq!(ReceiveError::Archive(ArchiveError::Spool(full())).fault(), Fault::Full);
        assert_eq!(ReceiveError::Deidentify(DeidentifyError::Io(full())).fault(), Fault::Full);
        assert_eq!(ReceiveError::Spool(SpoolError::Full).fault(), Fault::Full);
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(ReceiveError::from(broken).fault(), Fault::House);
    }
}
