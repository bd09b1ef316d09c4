//! The presentation contexts that we propose.

use clinical::uid::{SopClassUid, TransferSyntaxUid};
use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AssociationRQ, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason as Reason, UserVariableItem,
};
use part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};

use super::{Peer, ScuSettings};
use crate::scp::negotiation::{APPLICATION_CONTEXT, Context};
use crate::scp::query::Outgoing;

/// Context identifiers are odd numbers of one byte (PS3.8, section 9.3.2.2).
const MOST_CONTEXTS: usize = 128;

/// What an association is to carry: SOP classes, each in transfer syntaxes of which the peer chooses one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal(Vec<(SopClassUid, Vec<TransferSyntaxUid>)>);

impl Proposal {
    /// Verification alone (PS3.4, annex A).
    pub fn verification() -> Self {
        let mut proposal = Self::default();
        if let (Ok(class), Ok(syntax)) = (uids::VERIFICATION.parse(), uids::IMPLICIT_VR_LITTLE_ENDIAN.parse())
        {
            proposal.add(class, vec![syntax]);
        }
        proposal
    }

    /// Storage commitment alone (PS3.4, annex J).
    pub fn commitment() -> Self {
        let mut proposal = Self::default();
        proposal.add_commitment();
        proposal
    }

    /// Storage commitment too.
    pub fn add_commitment(&mut self) {
        let plain = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];
        let plain = plain.iter().filter_map(|uid| uid.parse().ok()).collect();
        if let Ok(class) = uids::STORAGE_COMMITMENT_PUSH_MODEL.parse() {
            self.add(class, plain);
        }
    }

    /// Storage of these instances: each class in each transfer syntax in which one of them is stored, on a context of
    /// its own, so that none excludes another; and in the uncompressed ones that every peer knows.
    pub fn of(instances: &[Outgoing]) -> Self {
        let mut proposal = Self::default();
        let mut classes: Vec<&SopClassUid> = Vec::new();
        for instance in instances {
            let pair = (instance.sop_class.clone(), vec![instance.transfer_syntax.clone()]);
            if !classes.contains(&&instance.sop_class) {
                classes.push(&instance.sop_class);
            }
            if proposal.0.len() < MOST_CONTEXTS && !proposal.0.contains(&pair) {
                proposal.0.push(pair);
            }
        }
        for class in classes {
            let plain = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];
            let plain = plain.iter().filter_map(|uid| uid.parse::<TransferSyntaxUid>().ok());
            let is_new =
                |syntax: &TransferSyntaxUid| !proposal.0.contains(&(class.clone(), vec![syntax.clone()]));
            let plain: Vec<_> = plain.filter(is_new).collect();
            if !plain.is_empty() {
                proposal.add(class.clone(), plain);
            }
        }
        proposal
    }

    /// One context more; past 128 none is added.
    pub fn add(&mut self, sop_class: SopClassUid, transfer_syntaxes: Vec<TransferSyntaxUid>) {
        if self.0.len() < MOST_CONTEXTS {
            self.0.push((sop_class, transfer_syntaxes));
        }
    }

    /// The A-ASSOCIATE-RQ that proposes it.
    pub(super) fn request(&self, peer: &Peer, settings: &ScuSettings) -> AssociationRQ {
        let contexts =
            self.0.iter().enumerate().map(|(index, (class, syntaxes))| PresentationContextProposed {
                id: context_id(index),
                abstract_syntax: class.to_string(),
                transfer_syntaxes: syntaxes.iter().map(ToString::to_string).collect(),
            });
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: settings.calling.to_string(),
            called_ae_title: peer.ae_title.to_string(),
            application_context_name: APPLICATION_CONTEXT.to_owned(),
            presentation_contexts: contexts.collect(),
            user_variables: vec![
                UserVariableItem::MaxLength(settings.max_pdu_bytes),
                UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
                UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
            ],
        }
    }

    /// Those that the peer accepted, in a transfer syntax that we proposed.
    pub(super) fn accepted(&self, results: &[PresentationContextResult]) -> Vec<Context> {
        let accepted = |result: &PresentationContextResult| {
            let index = usize::from(result.id).checked_sub(1)? / 2;
            let (class, syntaxes) = self.0.get(index).filter(|_| result.id % 2 == 1)?;
            let syntax = result.transfer_syntax.trim_end_matches(['\0', ' ']);
            let syntax = syntaxes.iter().find(|proposed| proposed.as_str() == syntax)?;
            (result.reason == Reason::Acceptance).then(|| Context {
                id: result.id,
                sop_class: class.clone(),
                transfer_syntax: syntax.clone(),
                takes_storage: true,
                combines_date_and_time: false,
            })
        };
        results.iter().filter_map(accepted).collect()
    }
}

/// 1, 3, 5, …
fn context_id(index: usize) -> u8 {
    (2 * index.min(MOST_CONTEXTS - 1) + 1) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const CT: &str = uids::CT_IMAGE_STORAGE;

    fn outgoing(sop_class: &str, transfer_syntax: &str) -> Outgoing {
        Outgoing {
            sop_class: sop_class.parse().unwrap(),
            sop_instance: "1.2.3".parse().unwrap(),
            transfer_syntax: transfer_syntax.parse().unwrap(),
        }
    }

    fn syntaxes(proposal: &Proposal) -> Vec<Vec<&str>> {
        proposal.0.iter().map(|(_, syntaxes)| syntaxes.iter().map(|it| it.as_str()).collect()).collect()
    }

    #[test]
    fn each_stored_syntax_has_a_context_of_its_own_beside_the_plain_ones() {
        let (explicit, implicit) = (uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN);
        let jpeg = uids::JPEG2000_LOSSLESS;
        let proposal = Proposal::of(&[outgoing(CT, jpeg), outgoing(CT, explicit), outgoing(CT, jpeg)]);
        assert_eq!(syntaxes(&proposal), [vec![jpeg], vec![explicit], vec![implicit]]);
        let proposal = Proposal::of(&[outgoing(CT, jpeg)]);
        assert_eq!(syntaxes(&proposal), [vec![jpeg], vec![explicit, implicit]]);
    }

    /// PS3.8, section 9.3.2.2: identifiers are odd, from 1 to 255.
    #[test]
    fn no_more_is_proposed_than_there_are_identifiers() {
        let many: Vec<_> =
            (0..300).map(|number| outgoing(&format!("1.2.{number}"), "1.2.840.10008.1.2.1")).collect();
        let proposal = Proposal::of(&many);
        let peer = "PACS=localhost:104".parse().unwrap();
        let request = proposal.request(&peer, &ScuSettings::default());
        let ids: Vec<_> = request.presentation_contexts.iter().map(|context| context.id).collect();
        assert_eq!((ids.len(), ids[0], ids[127]), (128, 1, 255));
    }

    #[test]
    fn what_was_not_proposed_counts_as_refused() {
        let proposal = Proposal::of(&[outgoing(CT, uids::JPEG2000_LOSSLESS)]);
        let result = |id, reason, syntax: &str| PresentationContextResult {
            id,
            reason,
            transfer_syntax: syntax.to_owned(),
        };
        let results = [
            result(1, Reason::Acceptance, uids::RLE_LOSSLESS),
            result(3, Reason::Acceptance, "1.2.840.10008.1.2\0"),
            result(5, Reason::Acceptance, uids::JPEG2000_LOSSLESS),
            result(2, Reason::Acceptance, uids::JPEG2000_LOSSLESS),
            result(0, Reason::Acceptance, uids::JPEG2000_LOSSLESS),
        ];
        let accepted = proposal.accepted(&results);
        assert_eq!(accepted.iter().map(|context| context.id).collect::<Vec<_>>(), [3]);
        let refused = [result(1, Reason::TransferSyntaxesNotSupported, uids::JPEG2000_LOSSLESS)];
        assert!(proposal.accepted(&refused).is_empty());
    }
}
