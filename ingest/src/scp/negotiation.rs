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
use super::query::{Model, Service};
use super::user_identity::Identified;
use super::{AeTitle, KnownTitles, ScpSettings, identifier};

/// The DICOM application context (PS3.7, annex A.2.1).
pub(crate) const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
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
    /// Whose key it was opened with, where user identity was negotiated (PS3.7, annex D.3.3.7).
    pub identified: Option<Identified>,
}

/// A presentation context that we accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) id: u8,
    pub(crate) sop_class: SopClassUid,
    pub(crate) transfer_syntax: TransferSyntaxUid,
    /// Whether the peer takes C-STORE requests on it, as SCP of its own association (C-GET) or of ours.
    pub(crate) takes_storage: bool,
    /// Whether date and time are matched together, which the peer has asked for (C-FIND).
    pub(crate) combines_date_and_time: bool,
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
        let takes_storage = takes_storage(&request.user_variables, &proposed.abstract_syntax);
        let (result, context) = answer_context(proposed, takes_storage);
        results.push(result);
        contexts.extend(context.map(|context| Context {
            combines_date_and_time: combines_date_and_time(&request.user_variables, &context),
            ..context
        }));
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
        info: AssociationInfo { number, peer, calling_ae, called_ae, identified: None },
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
        .filter(|title| {
            known.calling
                || settings.allowed_calling.contains(title)
                || settings.query_calling.contains(title)
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

/// Whether the peer offers to be SCP of a storage class on its own association (PS3.7, annex D.3.3.4).
fn takes_storage(proposed: &[UserVariableItem], sop_class: &str) -> bool {
    is_storage(sop_class)
        && proposed.iter().any(|item| {
            matches!(item, UserVariableItem::ScuScpRoleSelectionSubItem(uid, roles)
                if roles.scp && uid.trim_end_matches(['\0', ' ']) == sop_class)
        })
}

fn answer_context(
    proposed: &PresentationContextProposed,
    takes_storage: bool,
) -> (PresentationContextResult, Option<Context>) {
    let result = |reason, transfer_syntax: &str| PresentationContextResult {
        id: proposed.id,
        reason,
        transfer_syntax: transfer_syntax.to_owned(),
    };
    // Not significant in a refusal (PS3.8, section 9.3.3.2), but some peers want a UID there.
    let insignificant = uids::IMPLICIT_VR_LITTLE_ENDIAN;
    let sop_class: Option<SopClassUid> = proposed.abstract_syntax.parse().ok();
    let is_query = Model::of(&proposed.abstract_syntax).is_some()
        || proposed.abstract_syntax.trim_end_matches(['\0', ' ']) == uids::STORAGE_COMMITMENT_PUSH_MODEL;
    let taken =
        sop_class.filter(|uid| is_query || uid.as_str() == uids::VERIFICATION || is_storage(uid.as_str()));
    let Some(sop_class) = taken else {
        return (result(Reason::AbstractSyntaxNotSupported, insignificant), None);
    };
    let syntaxes = proposed.transfer_syntaxes.iter().map(String::as_str);
    let mut readable = syntaxes.filter_map(|text| Some((text, text.parse().ok()?)));
    let chosen = match (is_query, takes_storage) {
        (true, _) => {
            readable.find(|(_, uid): &(_, TransferSyntaxUid)| identifier::is_written_in(uid.as_str()))
        }
        // what we are to send, stored in whatever syntax, can be written uncompressed rather than otherwise
        (false, true) => readable.clone().find(|(_, uid)| is_plain(uid)).or_else(|| readable.next()),
        (false, false) => readable.next(),
    };
    let Some((text, transfer_syntax)) = chosen else {
        return (result(Reason::TransferSyntaxesNotSupported, insignificant), None);
    };
    (
        result(Reason::Acceptance, text),
        Some(Context {
            id: proposed.id,
            sop_class,
            transfer_syntax,
            takes_storage,
            combines_date_and_time: false,
        }),
    )
}

fn is_plain(transfer_syntax: &TransferSyntaxUid) -> bool {
    identifier::is_written_in(transfer_syntax.as_str())
}

/// Our user information: what every answer has, and answers to what was proposed.
///
/// One operation each way at a time is what we do: what a peer sends ahead waits in the connection. A user identity
/// is answered once it was checked ([`Negotiated::admit`]).
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
            // SCP of storage is whom we send to over its own association, by C-GET.
            UserVariableItem::ScuScpRoleSelectionSubItem(sop_class, roles) => {
                let class = sop_class.trim_end_matches(['\0', ' ']);
                // Who keeps what we have sent opens an association to report so (PS3.4, section J.3.3).
                let reports = class == uids::STORAGE_COMMITMENT_PUSH_MODEL && roles.scp;
                let granted =
                    RequestorRoles { scu: roles.scu, scp: reports || takes_storage(proposed, class) };
                answers.push(UserVariableItem::ScuScpRoleSelectionSubItem(sop_class.clone(), granted));
            }
            UserVariableItem::SopClassExtendedNegotiationSubItem(sop_class, asked) => {
                if let Some(answer) = answer_extended(sop_class.trim_end_matches(['\0', ' ']), asked) {
                    answers.push(UserVariableItem::SopClassExtendedNegotiationSubItem(
                        sop_class.clone(),
                        answer,
                    ));
                }
            }
            _ => {}
        }
    }
    answers
}

/// What of a query's or retrieval's options we do: the first, relational queries and retrieval, and of a query the
/// second, combined matching of date and time (PS3.4, sections C.5.1.1, C.5.2.1 and C.5.3.1). As many bytes as were
/// asked.
fn answer_extended(sop_class: &str, asked: &[u8]) -> Option<Vec<u8>> {
    /// Options that PS3.4 knows today, and room for more.
    const MOST: usize = 16;
    let (_, service) = Model::of(sop_class)?;
    let done = if service == Service::Find { 2 } else { 1 };
    let options = asked.iter().take(MOST).enumerate();
    Some(options.map(|(index, option)| u8::from(index < done && *option == 1)).collect())
}

/// Whether the peer has asked that date and time be matched together in this context.
fn combines_date_and_time(proposed: &[UserVariableItem], context: &Context) -> bool {
    proposed.iter().any(|item| {
        let UserVariableItem::SopClassExtendedNegotiationSubItem(class, asked) = item else { return false };
        let class = class.trim_end_matches(['\0', ' ']);
        class == context.sop_class.as_str()
            && answer_extended(class, asked).is_some_and(|answer| answer.get(1) == Some(&1))
    })
}

#[cfg(test)]
mod tests;
