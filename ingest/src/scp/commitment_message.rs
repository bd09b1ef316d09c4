//! What storage commitment says: the request of an N-ACTION and the report of an N-EVENT-REPORT.
//!
//! Source: DICOM PS3.4, tables J.3-1 and J.3-2.

use clinical::imaging::SopReference;
use clinical::uid::TransactionUid;
use dicom_core::header::HasLength;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use part10::{Limits, text};

/// What a request or report may cost in memory; 16 MiB name some 100,000 instances, more than are taken.
pub(crate) const LIMITS: Limits = Limits {
    depth: 8,
    inflated_bytes: 0,
    inflate_ratio: 1,
    inflate_floor_bytes: 0,
    group2_bytes: 4_096,
    header_bytes: 16 << 20,
    elements: 1_000_000,
    fragments: 0,
};

/// More instances than this in one request or report are refused.
const MOST_REFERENCES: usize = 10_000;

/// Failure Reason (0008,1197) where a peer gives none that reads: processing failure.
const PROCESSING_FAILURE: u16 = 0x0110;

/// Asks whether instances are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentRequest {
    /// Transaction UID (0008,1195).
    pub transaction_uid: TransactionUid,
    /// Referenced SOP Sequence (0008,1199).
    pub asked: Vec<SopReference>,
}

/// Says which of the asked instances are kept, and why others are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentReport {
    /// Transaction UID (0008,1195), that of the request.
    pub transaction_uid: TransactionUid,
    /// Referenced SOP Sequence (0008,1199): they are kept.
    pub committed: Vec<SopReference>,
    /// Failed SOP Sequence (0008,1198), each with its Failure Reason (0008,1197).
    pub failed: Vec<(SopReference, u16)>,
}

impl CommitmentRequest {
    /// Reads the Action Information; `None` where it is no whole request.
    pub(crate) fn read(data_set: &InMemDicomObject) -> Option<Self> {
        let asked = references(data_set, tags::REFERENCED_SOP_SEQUENCE)?;
        if asked.is_empty() || asked.len() > MOST_REFERENCES {
            return None;
        }
        Some(Self {
            transaction_uid: transaction(data_set)?,
            asked: asked.into_iter().map(|it| it.0).collect(),
        })
    }

    /// The Action Information.
    pub(crate) fn data_set(&self) -> InMemDicomObject {
        let items = self.asked.iter().map(|reference| item(reference, None));
        InMemDicomObject::from_element_iter([
            uid(tags::TRANSACTION_UID, self.transaction_uid.as_str()),
            sequence(tags::REFERENCED_SOP_SEQUENCE, items.collect()),
        ])
    }
}

impl CommitmentReport {
    /// Event Type ID (0000,1002): 1 where all is kept, 2 where something is not.
    pub(crate) fn event_type(&self) -> u16 {
        if self.failed.is_empty() { 1 } else { 2 }
    }

    /// Reads the Event Information; `None` where it is no whole report.
    pub(crate) fn read(data_set: &InMemDicomObject) -> Option<Self> {
        let committed = references(data_set, tags::REFERENCED_SOP_SEQUENCE)?;
        let failed = references(data_set, tags::FAILED_SOP_SEQUENCE)?;
        if committed.len() + failed.len() > MOST_REFERENCES {
            return None;
        }
        let reason =
            |(reference, reason): (_, Option<u16>)| (reference, reason.unwrap_or(PROCESSING_FAILURE));
        Some(Self {
            transaction_uid: transaction(data_set)?,
            committed: committed.into_iter().map(|it| it.0).collect(),
            failed: failed.into_iter().map(reason).collect(),
        })
    }

    /// The Event Information.
    pub(crate) fn data_set(&self) -> InMemDicomObject {
        let mut elements = vec![uid(tags::TRANSACTION_UID, self.transaction_uid.as_str())];
        if !self.failed.is_empty() {
            let items = self.failed.iter().map(|(reference, reason)| item(reference, Some(*reason)));
            elements.push(sequence(tags::FAILED_SOP_SEQUENCE, items.collect()));
        }
        if !self.committed.is_empty() {
            let items = self.committed.iter().map(|reference| item(reference, None));
            elements.push(sequence(tags::REFERENCED_SOP_SEQUENCE, items.collect()));
        }
        InMemDicomObject::from_element_iter(elements)
    }
}

type Element = DataElement<InMemDicomObject, dicom_object::mem::InMemFragment>;

fn uid(tag: Tag, value: &str) -> Element {
    DataElement::new(tag, VR::UI, PrimitiveValue::from(value))
}

fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> Element {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

fn item(reference: &SopReference, failure_reason: Option<u16>) -> InMemDicomObject {
    let reason = failure_reason
        .map(|reason| DataElement::new(tags::FAILURE_REASON, VR::US, PrimitiveValue::from(reason)));
    let uids = [
        uid(tags::REFERENCED_SOP_CLASS_UID, reference.sop_class_uid.as_str()),
        uid(tags::REFERENCED_SOP_INSTANCE_UID, reference.sop_uid.as_str()),
    ];
    InMemDicomObject::from_element_iter(uids.into_iter().chain(reason))
}

fn transaction(data_set: &InMemDicomObject) -> Option<TransactionUid> {
    text(data_set, tags::TRANSACTION_UID)?.parse().ok()
}

/// The items of a sequence, each with its Failure Reason where it has one; none of a sequence that is absent, and
/// `None` where an item names no instance.
fn references(data_set: &InMemDicomObject, tag: Tag) -> Option<Vec<(SopReference, Option<u16>)>> {
    let Some(element) = data_set.get(tag) else { return Some(Vec::new()) };
    if element.is_empty() {
        return Some(Vec::new());
    }
    let read = |item: &InMemDicomObject| {
        let reference = SopReference {
            sop_class_uid: text(item, tags::REFERENCED_SOP_CLASS_UID)?.parse().ok()?,
            sop_uid: text(item, tags::REFERENCED_SOP_INSTANCE_UID)?.parse().ok()?,
        };
        let reason = item.get(tags::FAILURE_REASON).and_then(|it| it.to_int().ok());
        Some((reference, reason))
    };
    element.items()?.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(instance: &str) -> SopReference {
        SopReference {
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".parse().unwrap(),
            sop_uid: instance.parse().unwrap(),
        }
    }

    #[test]
    fn a_request_and_a_report_read_back() {
        let transaction_uid: TransactionUid = "2.25.7".parse().unwrap();
        let asked = vec![reference("1.2.3"), reference("1.2.4")];
        let request = CommitmentRequest { transaction_uid: transaction_uid.clone(), asked };
        assert_eq!(CommitmentRequest::read(&request.data_set()), Some(request));

        let all = CommitmentReport { transaction_uid, committed: vec![reference("1.2.3")], failed: vec![] };
        assert_eq!((all.event_type(), CommitmentReport::read(&all.data_set())), (1, Some(all.clone())));
        let some = CommitmentReport { failed: vec![(reference("1.2.4"), 0x0112)], ..all };
        assert_eq!((some.event_type(), CommitmentReport::read(&some.data_set())), (2, Some(some.clone())));
    }

    #[test]
    fn ten_thousand_instances_are_taken_and_not_one_more() {
        let transaction_uid: TransactionUid = "2.25.7".parse().unwrap();
        let asked: Vec<_> = (0..=MOST_REFERENCES).map(|number| reference(&format!("1.2.{number}"))).collect();
        let (all, last) = (asked[..MOST_REFERENCES].to_vec(), asked[MOST_REFERENCES].clone());
        let most = CommitmentRequest { transaction_uid: transaction_uid.clone(), asked: all.clone() };
        assert!(CommitmentRequest::read(&most.data_set()).is_some());
        assert_eq!(CommitmentRequest::read(&CommitmentRequest { asked, ..most }.data_set()), None);
        let report = CommitmentReport { transaction_uid, committed: all, failed: vec![] };
        assert!(CommitmentReport::read(&report.data_set()).is_some());
        let report = CommitmentReport { failed: vec![(last, 0x0112)], ..report };
        assert_eq!(CommitmentReport::read(&report.data_set()), None);
    }

    #[test]
    fn a_request_without_transaction_or_instances_or_with_half_an_item_is_none() {
        let whole =
            CommitmentRequest { transaction_uid: "2.25.7".parse().unwrap(), asked: vec![reference("1.2.3")] };
        for tag in [tags::TRANSACTION_UID, tags::REFERENCED_SOP_SEQUENCE] {
            let mut data_set = whole.data_set();
            data_set.remove_element(tag);
            assert_eq!(CommitmentRequest::read(&data_set), None, "{tag}");
        }
        let half = InMemDicomObject::from_element_iter([uid(tags::REFERENCED_SOP_INSTANCE_UID, "1.2.3")]);
        let mut data_set = whole.data_set();
        data_set.put(sequence(tags::REFERENCED_SOP_SEQUENCE, vec![half]));
        assert_eq!(CommitmentRequest::read(&data_set), None);
        data_set.put(uid(tags::REFERENCED_SOP_SEQUENCE, "1.2.3"));
        assert_eq!(CommitmentRequest::read(&data_set), None, "no sequence");
    }
}
