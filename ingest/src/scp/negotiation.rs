//! What an association is allowed to carry: the answer to an A-ASSOCIATE-RQ.
//!
//! Every storage SOP class is taken, known or not, and every transfer syntax
//! as it is: of each presentation context the first one proposed, which is
//! the sender's preference. Pure: values in, an answer out.
//!
//! Source: DICOM PS3.8, sections 7.1 and 9.3, and PS3.7, annex D.3.

use std::net::SocketAddr;

use clinical::uid::{SopClassUid, TransferSyntaxUid};
use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult as Verdict, AssociationRJServiceProviderASCEReason,
    AssociationRJServiceProviderPresentationReason, AssociationRJServiceUserReason as UserReason,
    AssociationRJSource as Source, AssociationRQ, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason as Reason, RequestorRoles, UserVariableItem,
};
use part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};

use super::pdu::PduError;
use super::{AeTitle, CallingAe, KnownTitles, ScpSettings};

/// The DICOM application context (PS3.7, annex A.2.1).
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// The root of every UID that DICOM itself gives out.
const DICOM_ROOT: &str = "1.2.840.10008.";
/// The root of the storage SOP classes (PS3.4, annex B.5).
const STORAGE_ROOT: &str = "1.2.840.10008.5.1.4.1.1.";
/// Storage SOP classes outside that root (PS3.6, annex A): first the retired ones, for print, hardcopy and trial RT.
const STORAGE_ELSEWHERE: [&str; 11] = [
    "1.2.840.10008.5.1.1.27",
    "1.2.840.10008.5.1.1.29",
    "1.2.840.10008.5.1.1.30",
    "1.2.840.10008.5.1.4.34.1",
    uids::RT_BEAMS_DELIVERY_INSTRUCTION_STORAGE,
    uids::RT_BRACHY_APPLICATION_SETUP_DELIVERY_INSTRUCTION_STORAGE,
    uids::HANGING_PROTOCOL_STORAGE,
    uids::COLOR_PALETTE_STORAGE,
    uids::GENERIC_IMPLANT_TEMPLATE_STORAGE,
    uids::IMPLANT_ASSEMBLY_TEMPLATE_STORAGE,
    uids::IMPLANT_TEMPLATE_GROUP_STORAGE,
];
/// Query and retrieval that PS3.6 numbers among the storage SOP classes.
const NOT_STORAGE: [&str; 8] = [
    uids::PROTOCOL_APPROVAL_INFORMATION_MODEL_FIND,
    uids::PROTOCOL_APPROVAL_INFORMATION_MODEL_MOVE,
    uids::PROTOCOL_APPROVAL_INFORMATION_MODEL_GET,
    uids::INVENTORY_FIND,
    uids::INVENTORY_MOVE,
    uids::INVENTORY_GET,
    uids::INVENTORY_CREATION,
    uids::REPOSITORY_QUERY,
];
/// Asynchronous operations window (PS3.7, annex D.3.3.3): one operation each way.
const ASYNCHRONOUS_WINDOW: u8 = 0x53;
const ONE_EACH_WAY: [u8; 4] = [0, 1, 0, 1];

/// Who is on the other side of an association.
#[derive(Debug, Clone)]
pub struct AssociationInfo {
    /// Counts the associations of this process; for logs.
    pub number: u64,
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// The sender's title, checked against the settings.
    pub calling_ae: AeTitle,
    /// The title it called; ours, or one that the house knows, unless any is allowed.
    pub called_ae: AeTitle,
}

/// A presentation context that we accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) id: u8,
    pub(crate) sop_class: SopClassUid,
    pub(crate) transfer_syntax: TransferSyntaxUid,
}

/// An association that may begin, and the answer that begins it.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) info: AssociationInfo,
    pub(crate) contexts: Vec<Context>,
    /// What the peer can receive in one P-DATA-TF, bytes; 0 is any length.
    pub(crate) peer_max_pdu_bytes: u32,
    pub(crate) answer: AssociationAC,
}

/// Why an association does not begin.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A-ASSOCIATE-RJ.
    Reject(AssociationRJ),
    /// A-ABORT: the request breaks the protocol.
    Abort(PduError),
}

/// Whether C-STORE of this SOP class is taken: storage by DICOM's numbering, or anyone's private class.
pub(crate) fn is_storage(sop_class: &str) -> bool {
    if !sop_class.starts_with(DICOM_ROOT) {
        return true;
    }
    let numbered = sop_class.starts_with(STORAGE_ROOT) && !NOT_STORAGE.contains(&sop_class);
    numbered || STORAGE_ELSEWHERE.contains(&sop_class)
}

/// The refusal of an association beyond the limit; the sender may try again.
pub(crate) fn local_limit_exceeded() -> AssociationRJ {
    let reason = AssociationRJServiceProviderPresentationReason::LocalLimitExceeded;
    AssociationRJ { result: Verdict::Transient, source: Source::ServiceProviderPresentation(reason) }
}

/// Decides what an association may carry.
pub(crate) fn negotiate(
    request: &AssociationRQ,
    settings: &ScpSettings,
    known: KnownTitles,
    number: u64,
    peer: SocketAddr,
) -> Result<Negotiated, Refusal> {
    if request.protocol_version & 1 == 0 {
        let reason = AssociationRJServiceProviderASCEReason::ProtocolVersionNotSupported;
        return Err(rejected(Source::ServiceProviderASCE(reason)));
    }
    if request.application_context_name.trim_end_matches([' ', '\0']) != APPLICATION_CONTEXT {
        return Err(rejected(Source::ServiceUser(UserReason::ApplicationContextNameNotSupported)));
    }
    let called_ae = called(request, settings, known)?;
    let calling_ae = calling(request, settings, known)?;
    check_identifiers(&request.presentation_contexts).map_err(Refusal::Abort)?;

    let mut contexts = Vec::new();
    let mut results = Vec::new();
    for proposed in &request.presentation_contexts {
        let (result, context) = answer_context(proposed);
        results.push(result);
        contexts.extend(context);
    }
    let answer = AssociationAC {
        protocol_version: 1,
        calling_ae_title: calling_ae.to_string(),
        called_ae_title: called_ae.to_string(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: results,
        user_variables: answer_user_variables(&request.user_variables, settings.max_pdu_bytes),
    };
    let peer_max_pdu_bytes = request.user_variables.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(bytes) => Some(*bytes),
        _ => None,
    });
    Ok(Negotiated {
        info: AssociationInfo { number, peer, calling_ae, called_ae },
        contexts,
        peer_max_pdu_bytes: peer_max_pdu_bytes.unwrap_or(0),
        answer,
    })
}

fn rejected(source: Source) -> Refusal {
    Refusal::Reject(AssociationRJ { result: Verdict::Permanent, source })
}

fn called(request: &AssociationRQ, settings: &ScpSettings, known: KnownTitles) -> Result<AeTitle, Refusal> {
    let title = request.called_ae_title.parse().ok();
    title
        .filter(|title| known.called || settings.any_called || *title == settings.ae_title)
        .ok_or_else(|| rejected(Source::ServiceUser(UserReason::CalledAETitleNotRecognized)))
}

fn calling(request: &AssociationRQ, settings: &ScpSettings, known: KnownTitles) -> Result<AeTitle, Refusal> {
    let title = request.calling_ae_title.parse().ok();
    title
        .filter(|title| match &settings.allowed_calling {
            CallingAe::Any => true,
            CallingAe::Only(allowed) => known.calling || allowed.contains(title),
        })
        .ok_or_else(|| rejected(Source::ServiceUser(UserReason::CallingAETitleNotRecognized)))
}

/// PS3.8, section 9.3.2.2: presentation context IDs are odd and each stands once.
fn check_identifiers(proposed: &[PresentationContextProposed]) -> Result<(), PduError> {
    let mut seen = [false; 256];
    for context in proposed {
        let place = &mut seen[usize::from(context.id)];
        if context.id % 2 == 0 || *place {
            return Err(PduError::Message("a presentation context ID is even or stands twice"));
        }
        *place = true;
    }
    if proposed.is_empty() { Err(PduError::Message("no presentation context is proposed")) } else { Ok(()) }
}

fn answer_context(proposed: &PresentationContextProposed) -> (PresentationContextResult, Option<Context>) {
    let result = |reason, transfer_syntax: &str| PresentationContextResult {
        id: proposed.id,
        reason,
        transfer_syntax: transfer_syntax.to_owned(),
    };
    // Not significant in a refusal (PS3.8, section 9.3.3.2), but some peers want a UID there.
    let insignificant = uids::IMPLICIT_VR_LITTLE_ENDIAN;
    let sop_class: Option<SopClassUid> = proposed.abstract_syntax.parse().ok();
    let taken = sop_class.filter(|uid| uid.as_str() == uids::VERIFICATION || is_storage(uid.as_str()));
    let Some(sop_class) = taken else {
        return (result(Reason::AbstractSyntaxNotSupported, insignificant), None);
    };
    let first = proposed.transfer_syntaxes.iter().find_map(|text| Some((text, text.parse().ok()?)));
    let Some((text, transfer_syntax)) = first else {
        return (result(Reason::TransferSyntaxesNotSupported, insignificant), None);
    };
    (result(Reason::Acceptance, text), Some(Context { id: proposed.id, sop_class, transfer_syntax }))
}

/// Our user information: what every answer has, and answers to what was proposed.
///
/// A user identity is not checked, so it gets no positive answer (PS3.7, annex D.3.3.7).
fn answer_user_variables(proposed: &[UserVariableItem], max_pdu_bytes: u32) -> Vec<UserVariableItem> {
    let mut answers = vec![
        UserVariableItem::MaxLength(max_pdu_bytes),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.into()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.into()),
    ];
    for item in proposed {
        match item {
            UserVariableItem::Unknown(ASYNCHRONOUS_WINDOW, _) => {
                answers.push(UserVariableItem::Unknown(ASYNCHRONOUS_WINDOW, ONE_EACH_WAY.into()));
            }
            // The sender stays SCU; we never send to it over its own association.
            UserVariableItem::ScuScpRoleSelectionSubItem(sop_class, roles) => {
                let granted = RequestorRoles { scu: roles.scu, scp: false };
                answers.push(UserVariableItem::ScuScpRoleSelectionSubItem(sop_class.clone(), granted));
            }
            _ => {}
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    const CT: &str = uids::CT_IMAGE_STORAGE;
    /// Explicit VR Big Endian, retired but still sent.
    const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

    fn request(contexts: &[(u8, &str, &[&str])]) -> AssociationRQ {
        let proposed = contexts.iter().map(|(id, class, syntaxes)| PresentationContextProposed {
            id: *id,
            abstract_syntax: (*class).into(),
            transfer_syntaxes: syntaxes.iter().map(|&uid| uid.to_owned()).collect(),
        });
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "CT1".into(),
            called_ae_title: "MEDILINK".into(),
            application_context_name: APPLICATION_CONTEXT.into(),
            presentation_contexts: proposed.collect(),
            user_variables: vec![],
        }
    }

    fn decide(request: &AssociationRQ, settings: &ScpSettings) -> Result<Negotiated, Refusal> {
        negotiate(request, settings, KnownTitles::default(), 1, ([127, 0, 0, 1], 104).into())
    }

    fn open() -> ScpSettings {
        ScpSettings { allowed_calling: CallingAe::Any, ..ScpSettings::default() }
    }

    fn rejection(request: &AssociationRQ, settings: &ScpSettings) -> Source {
        match decide(request, settings) {
            Err(Refusal::Reject(rejection)) => rejection.source,
            other => panic!("not rejected: {other:?}"),
        }
    }

    #[test]
    fn each_context_gets_its_first_transfer_syntax_known_or_not() {
        let asked = request(&[
            (1, CT, &[BIG_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN]),
            (3, CT, &[uids::HTJ2K_LOSSLESS]),
            (5, "1.3.46.670589.2.3.1.1", &["1.2.999.1"]),
            (7, uids::VERIFICATION, &[uids::IMPLICIT_VR_LITTLE_ENDIAN]),
        ]);
        let negotiated = decide(&asked, &open()).unwrap();
        let syntaxes: Vec<_> = negotiated.contexts.iter().map(|c| c.transfer_syntax.as_str()).collect();
        let first = [BIG_ENDIAN, uids::HTJ2K_LOSSLESS, "1.2.999.1", uids::IMPLICIT_VR_LITTLE_ENDIAN];
        assert_eq!(syntaxes, first);
    }

    /// PS3.8, table 9-18: 3 is abstract-syntax-not-supported, 4 is transfer-syntaxes-not-supported.
    #[test]
    fn what_is_not_storage_is_refused_one_context_at_a_time() {
        let asked = request(&[
            (1, uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND, &["1.2.840.10008.1.2"]),
            (3, CT, &["1.2.840.10008.1.2"]),
            (5, uids::INVENTORY_FIND, &["1.2.840.10008.1.2"]),
            (7, CT, &["../etc"]),
            (9, "not a uid", &["1.2.840.10008.1.2"]),
        ]);
        let negotiated = decide(&asked, &open()).unwrap();
        let reasons: Vec<_> =
            negotiated.answer.presentation_contexts.into_iter().map(|c| c.reason as u8).collect();
        assert_eq!(reasons, [3, 0, 3, 4, 3]);
        assert_eq!(negotiated.contexts.len(), 1);
    }

    /// PS3.6, annex A, numbers query and retrieval of protocols and inventories among the storage classes.
    #[test]
    fn storage_is_told_from_what_is_numbered_beside_it() {
        let storage = [
            CT,
            uids::CT_DEFINED_PROCEDURE_PROTOCOL_STORAGE,
            uids::INVENTORY_STORAGE,
            uids::HANGING_PROTOCOL_STORAGE,
            uids::RT_BEAMS_DELIVERY_INSTRUCTION_STORAGE,
            "1.2.840.10008.5.1.4.1.1.999.1",
            "1.2.826.0.1.3680043.2.1",
        ];
        for uid in storage {
            assert!(is_storage(uid), "{uid}");
        }
        let others = [
            uids::VERIFICATION,
            uids::MEDIA_STORAGE_DIRECTORY_STORAGE,
            uids::STORAGE_COMMITMENT_PUSH_MODEL,
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
            uids::PROTOCOL_APPROVAL_INFORMATION_MODEL_FIND,
            uids::REPOSITORY_QUERY,
            "1.2.840.10008.5.1.4.1.10",
        ];
        for uid in others {
            assert!(!is_storage(uid), "{uid}");
        }
    }

    #[test]
    fn a_stranger_is_rejected_unless_told_otherwise() {
        let asked = request(&[(1, CT, &["1.2.840.10008.1.2"])]);
        let unknown = Source::ServiceUser(UserReason::CallingAETitleNotRecognized);
        assert_eq!(rejection(&asked, &ScpSettings::default()), unknown);
        let allowed = CallingAe::Only(vec!["CT1".parse().unwrap()]);
        assert!(decide(&asked, &ScpSettings { allowed_calling: allowed, ..ScpSettings::default() }).is_ok());
    }

    #[test]
    fn a_call_to_someone_else_is_rejected_unless_told_otherwise() {
        let asked = AssociationRQ { called_ae_title: "ORTHANC".into(), ..request(&[(1, CT, &["1.2"])]) };
        let unknown = Source::ServiceUser(UserReason::CalledAETitleNotRecognized);
        assert_eq!(rejection(&asked, &open()), unknown);
        assert!(decide(&asked, &ScpSettings { any_called: true, ..open() }).is_ok());
        let known = KnownTitles { called: true, calling: false };
        assert!(negotiate(&asked, &open(), known, 1, ([127, 0, 0, 1], 104).into()).is_ok());
    }

    #[test]
    fn another_protocol_or_application_is_rejected() {
        let asked = request(&[(1, CT, &["1.2"])]);
        let version = AssociationRQ { protocol_version: 2, ..asked.clone() };
        let reason = AssociationRJServiceProviderASCEReason::ProtocolVersionNotSupported;
        assert_eq!(rejection(&version, &open()), Source::ServiceProviderASCE(reason));
        let context = AssociationRQ { application_context_name: "1.2.3".into(), ..asked };
        let reason = UserReason::ApplicationContextNameNotSupported;
        assert_eq!(rejection(&context, &open()), Source::ServiceUser(reason));
    }

    /// PS3.8, section 9.3.2.2.
    #[test]
    fn a_context_id_that_is_even_or_stands_twice_ends_it() {
        for ids in [[2, 3], [1, 1]] {
            let asked = request(&[(ids[0], CT, &["1.2"]), (ids[1], CT, &["1.2"])]);
            assert!(matches!(decide(&asked, &open()), Err(Refusal::Abort(_))), "{ids:?}");
        }
        assert!(matches!(decide(&request(&[]), &open()), Err(Refusal::Abort(_))));
    }

    /// PS3.7, annexes D.3.3.3 and D.3.3.4.
    #[test]
    fn a_window_and_a_role_are_answered_only_when_proposed() {
        let mut asked = request(&[(1, CT, &["1.2"])]);
        assert_eq!(decide(&asked, &open()).unwrap().answer.user_variables.len(), 3);
        let both = RequestorRoles { scu: true, scp: true };
        asked.user_variables = vec![
            UserVariableItem::MaxLength(16384),
            UserVariableItem::Unknown(ASYNCHRONOUS_WINDOW, vec![0, 0, 0, 0]),
            UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), both),
        ];
        let negotiated = decide(&asked, &open()).unwrap();
        assert_eq!(negotiated.peer_max_pdu_bytes, 16384);
        let answers = negotiated.answer.user_variables;
        assert!(answers.contains(&UserVariableItem::Unknown(ASYNCHRONOUS_WINDOW, vec![0, 1, 0, 1])));
        let scu = RequestorRoles { scu: true, scp: false };
        assert!(answers.contains(&UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), scu)));
    }
}
