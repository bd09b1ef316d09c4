//! What C-FIND, C-MOVE and C-GET ask of the house behind the listener.
//!
//! Source: DICOM PS3.4, annex C (Query/Retrieve service class).

use std::future::Future;

use bytes::Bytes;
use clinical::ae_title::AeTitle;
use clinical::uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use dicom_core::Tag;
use dicom_dictionary_std::uids;
use dicom_object::InMemDicomObject;

use super::{AssociationInfo, StoreStatus};
use crate::scu::Peer;

/// An information model (PS3.4, section C.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Patient, study, series, composite object instance.
    PatientRoot,
    /// Study, with the attributes of its patient; series; composite object instance.
    StudyRoot,
    /// Patient and study alone (retired).
    PatientStudyOnly,
}

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Find,
    Move,
    Get,
}

impl Model {
    /// The model and service that a SOP class stands for; `None` for any other class.
    pub(crate) fn of(sop_class: &str) -> Option<(Self, Service)> {
        Some(match sop_class {
            uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND => (Self::PatientRoot, Service::Find),
            uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE => (Self::PatientRoot, Service::Move),
            uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET => (Self::PatientRoot, Service::Get),
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND => (Self::StudyRoot, Service::Find),
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE => (Self::StudyRoot, Service::Move),
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET => (Self::StudyRoot, Service::Get),
            "1.2.840.10008.5.1.4.1.2.3.1" => (Self::PatientStudyOnly, Service::Find),
            "1.2.840.10008.5.1.4.1.2.3.2" => (Self::PatientStudyOnly, Service::Move),
            "1.2.840.10008.5.1.4.1.2.3.3" => (Self::PatientStudyOnly, Service::Get),
            _ => return None,
        })
    }

    fn has(self, level: Level) -> bool {
        match self {
            Self::PatientRoot => true,
            Self::StudyRoot => level != Level::Patient,
            Self::PatientStudyOnly => matches!(level, Level::Patient | Level::Study),
        }
    }
}

/// Query/Retrieve Level (0008,0052), from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `PATIENT`
    Patient,
    /// `STUDY`
    Study,
    /// `SERIES`
    Series,
    /// `IMAGE`: a composite object instance, with or without pixels.
    Image,
}

impl Level {
    /// Every one, from the top.
    pub const ALL: [Self; 4] = [Self::Patient, Self::Study, Self::Series, Self::Image];

    /// The word of (0008,0052).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }

    /// The attribute by which the level's entities are told apart (PS3.4, section C.6).
    pub fn unique_key(self) -> Tag {
        use dicom_dictionary_std::tags;
        match self {
            Self::Patient => tags::PATIENT_ID,
            Self::Study => tags::STUDY_INSTANCE_UID,
            Self::Series => tags::SERIES_INSTANCE_UID,
            Self::Image => tags::SOP_INSTANCE_UID,
        }
    }
}

/// A request's identifier, read and decoded.
#[derive(Debug, Clone)]
pub struct Query {
    level: Level,
    identifier: InMemDicomObject,
    combines_date_and_time: bool,
}

impl Query {
    /// The query of an identifier under `model`.
    ///
    /// # Errors
    ///
    /// A900 where it has no level, or none that the model has (PS3.4, section C.4.1.3.1.1).
    pub fn new(model: Model, identifier: InMemDicomObject) -> Result<Self, StoreStatus> {
        use dicom_dictionary_std::tags;
        let mismatch = |comment| StoreStatus::new(StoreStatus::DATA_SET_MISMATCH, comment);
        let word = part10::text(&identifier, tags::QUERY_RETRIEVE_LEVEL)
            .ok_or_else(|| mismatch("the identifier has no Query/Retrieve Level"))?;
        let level = Level::ALL.into_iter().find(|level| level.as_str() == word && model.has(*level));
        let level = level.ok_or_else(|| mismatch("the model has no such Query/Retrieve Level"))?;
        Ok(Self { level, identifier, combines_date_and_time: false })
    }

    /// The same, with what was negotiated about dates and times.
    pub(crate) fn combining(self, combines_date_and_time: bool) -> Self {
        Self { combines_date_and_time, ..self }
    }

    /// Whether a range of days and one of times are matched as one stretch (PS3.4, sections C.2.2.2.5.3 and C.5.1.1).
    pub fn combines_date_and_time(&self) -> bool {
        self.combines_date_and_time
    }

    /// The level whose entities are asked for.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The keys, texts decoded by the identifier's own character set.
    pub fn identifier(&self) -> &InMemDicomObject {
        &self.identifier
    }
}

/// What the listener asks of the house about what it holds.
pub trait QueryScp: Send + Sync + 'static {
    /// The matches of a C-FIND.
    type Matches: Matches;
    /// The instances of a C-MOVE or C-GET.
    type Retrieval: Retrieval;

    /// Looks for what matches.
    ///
    /// # Errors
    ///
    /// The status of the one response (PS3.4, table C.4-1).
    fn find(
        &self,
        association: &AssociationInfo,
        query: &Query,
    ) -> impl Future<Output = Result<Self::Matches, StoreStatus>> + Send;

    /// Gathers the instances of what the unique keys name; none where nothing is held under them.
    ///
    /// # Errors
    ///
    /// The status of the one response (PS3.4, tables C.4-2 and C.4-3).
    fn retrieve(
        &self,
        association: &AssociationInfo,
        query: &Query,
        towards: &Towards,
    ) -> impl Future<Output = Result<Self::Retrieval, StoreStatus>> + Send;

    /// Where the application entity of this title is reached; `None` for a stranger.
    fn peer(
        &self,
        association: &AssociationInfo,
        title: &AeTitle,
    ) -> impl Future<Output = Option<Peer>> + Send;
}

/// Where retrieved instances go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Towards {
    /// To whoever asks, over the same association (C-GET).
    Requestor,
    /// To another application entity (C-MOVE).
    Destination(AeTitle),
}

/// One match of a C-FIND.
#[derive(Debug, Clone)]
pub struct Match {
    /// The keys that were asked for, with their values; texts of any script.
    pub data_set: InMemDicomObject,
    /// Whether every optional key that was asked for is supported (pending FF00, else FF01).
    pub is_whole: bool,
}

/// The matches of a C-FIND, page by page.
pub trait Matches: Send {
    /// The next matches; an empty page is the end.
    ///
    /// # Errors
    ///
    /// The status that ends the answers.
    fn next_page(&mut self) -> impl Future<Output = Result<Vec<Match>, StoreStatus>> + Send;
}

/// An instance that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// SOP Class UID (0008,0016).
    pub sop_class: SopClassUid,
    /// SOP Instance UID (0008,0018).
    pub sop_instance: SopInstanceUid,
    /// The transfer syntax in which it is stored.
    pub transfer_syntax: TransferSyntaxUid,
}

/// The instances of a C-MOVE or C-GET.
pub trait Retrieval: Send + Sync {
    /// The bytes of one data set.
    type Body: DataSetBody;

    /// What is to be sent, in order.
    fn instances(&self) -> &[Outgoing];

    /// Whether `instance` can be written in this transfer syntax, stored or not.
    fn can_give(&self, instance: &Outgoing, transfer_syntax: &TransferSyntaxUid) -> bool;

    /// Opens the data set of the instance at `index`, without File Meta Information, in `transfer_syntax`.
    ///
    /// # Errors
    ///
    /// Why the instance cannot be sent; its sub-operation fails.
    fn open(
        &self,
        index: usize,
        transfer_syntax: &TransferSyntaxUid,
    ) -> impl Future<Output = Result<Self::Body, StoreStatus>> + Send;
}

/// A data set that is read piece by piece.
pub trait DataSetBody: Send {
    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    ///
    /// The rest cannot be read: whoever sends it has to break off.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, StoreStatus>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, PrimitiveValue, VR};
    use dicom_dictionary_std::tags;

    fn level(model: Model, word: &str) -> Result<Level, u16> {
        let word = DataElement::new(tags::QUERY_RETRIEVE_LEVEL, VR::CS, PrimitiveValue::from(word));
        let query = Query::new(model, InMemDicomObject::from_element_iter([word]));
        query.map(|query| query.level()).map_err(|status| status.code())
    }

    /// PS3.4, sections C.6.1 and C.6.2: the Study Root has no patient level.
    #[test]
    fn a_model_has_its_own_levels() {
        assert_eq!(level(Model::PatientRoot, "PATIENT"), Ok(Level::Patient));
        assert_eq!(level(Model::StudyRoot, "IMAGE"), Ok(Level::Image));
        assert_eq!(level(Model::StudyRoot, "PATIENT"), Err(0xA900));
        assert_eq!(level(Model::PatientStudyOnly, "SERIES"), Err(0xA900));
        assert_eq!(level(Model::PatientRoot, "FRAME"), Err(0xA900));
        assert_eq!(Query::new(Model::StudyRoot, InMemDicomObject::new_empty()).unwrap_err().code(), 0xA900);
    }
}
