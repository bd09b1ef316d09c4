use super::*;
use crate::scp::CallingAe;

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
        (1, uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND, &["1.2.840.10008.1.2"]),
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

/// PS3.8, table 9-18: 1 is user-rejection.
#[test]
fn who_may_not_read_keeps_all_but_query_and_retrieval() {
    let asked = request(&[
        (1, uids::VERIFICATION, &["1.2.840.10008.1.2"]),
        (3, CT, &["1.2.840.10008.1.2"]),
        (5, uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND, &["1.2.840.10008.1.2"]),
        (7, uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE, &["1.2.840.10008.1.2"]),
        (9, uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET, &["1.2.840.10008.1.2"]),
        (11, uids::STORAGE_COMMITMENT_PUSH_MODEL, &["1.2.840.10008.1.2"]),
    ]);
    let mut negotiated = decide(&asked, &open()).unwrap();
    negotiated.withhold_reading();
    let kept: Vec<_> = negotiated.contexts.iter().map(|context| context.id).collect();
    assert_eq!(kept, [1, 3, 11]);
    let reasons = negotiated.answer.presentation_contexts.into_iter().map(|context| context.reason as u8);
    assert_eq!(reasons.collect::<Vec<_>>(), [0, 0, 1, 1, 1, 0]);
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
    assert!(answers.contains(&UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), both)));
}

/// PS3.4, section C.5.3: the requestor of a C-GET is SCP of the classes that it takes.
#[test]
fn who_gets_is_scp_of_storage_and_of_nothing_else() {
    let mut asked = request(&[
        (1, CT, &[uids::JPEG2000_LOSSLESS, uids::EXPLICIT_VR_LITTLE_ENDIAN]),
        (3, CT, &[uids::JPEG2000_LOSSLESS]),
        (5, uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET, &[uids::JPEG2000_LOSSLESS]),
        (
            7,
            uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
            &["1.2.840.10008.1.2.2", "1.2.840.10008.1.2"],
        ),
    ]);
    let (scp, neither) =
        (RequestorRoles { scu: false, scp: true }, RequestorRoles { scu: false, scp: false });
    asked.user_variables = vec![
        UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), scp),
        UserVariableItem::ScuScpRoleSelectionSubItem(uids::VERIFICATION.into(), scp),
    ];
    let negotiated = decide(&asked, &open()).unwrap();
    let chosen: Vec<_> =
        negotiated.contexts.iter().map(|c| (c.id, c.transfer_syntax.as_str(), c.takes_storage)).collect();
    let expected = [
        (1, uids::EXPLICIT_VR_LITTLE_ENDIAN, true),
        (3, uids::JPEG2000_LOSSLESS, true),
        (7, uids::IMPLICIT_VR_LITTLE_ENDIAN, false),
    ];
    assert_eq!(chosen, expected);
    let answers = negotiated.answer.user_variables;
    assert!(answers.contains(&UserVariableItem::ScuScpRoleSelectionSubItem(CT.into(), scp)));
    assert!(
        answers.contains(&UserVariableItem::ScuScpRoleSelectionSubItem(uids::VERIFICATION.into(), neither))
    );
}

/// PS3.4, tables C.5-1 and C.5-3: byte 1 is relational queries and retrieval, byte 2 of a query date and time together,
/// of a retrieval enhanced images as single frames.
#[test]
fn relational_and_combined_queries_are_agreed_on_and_other_options_are_not() {
    let find = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
    let get = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;
    assert_eq!(answer_extended(find, &[1, 1, 1]), Some(vec![1, 1, 0]));
    assert_eq!(answer_extended(find, &[0, 1]), Some(vec![0, 1]));
    assert_eq!(answer_extended(get, &[1, 1]), Some(vec![1, 0]));
    assert_eq!(answer_extended(CT, &[1]), None);
}
