//! User identity negotiation: who calls, beside what its title says.
//!
//! A peer shows one of our API keys: as the passcode beside a user name, as the user name alone, or in the place of
//! a JSON Web Token. What the key may do decides which presentation contexts are accepted.
//!
//! Source: DICOM PS3.7, annex D.3.3.7.

use clinical::id::ApiKeyId;
use clinical::role::{Action, Permission, Resource};
use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AssociationRJ, AssociationRJResult as Verdict, AssociationRJServiceUserReason as UserReason,
    AssociationRJSource as Source, AssociationRQ, PresentationContextResultReason, UserIdentityType,
    UserVariableItem,
};

use super::negotiation::{Context, Negotiated};
use super::query::Model;

/// The positive answer to a user identity (PS3.7, table D.3-15), which for the kinds that we take has no text.
const ANSWER_ITEM: u8 = 0x59;
const EMPTY_ANSWER: [u8; 2] = [0, 0];
/// The root of the Query/Retrieve SOP classes; the number after the information model says which service
/// (PS3.4, annex C.6): 1 C-FIND, 2 C-MOVE, 3 C-GET.
const QUERY_RETRIEVE_ROOT: &str = "1.2.840.10008.5.1.4.1.2.";

/// Whose key an association is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// The key.
    pub api_key_id: ApiKeyId,
    /// What its holder may do.
    pub scopes: Vec<Permission>,
}

/// What the house says to a shown text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It is a key of the clinic that the association is for.
    Known(Identified),
    /// It is meant to be a key, and is none that counts there.
    Wrong,
    /// It is no key of ours at all: a name that the peer tells every server.
    Foreign,
    /// The database does not answer.
    Unanswered,
}

/// A user identity as it was proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// The text that may be a key; empty for the kinds that hold none (Kerberos, SAML).
    pub(super) text: String,
    /// The peer wants to be told that it was accepted.
    is_answer_wanted: bool,
}

/// What the request shows, if anything.
pub(super) fn shown(request: &AssociationRQ) -> Option<Shown> {
    let identity = request.user_variables.iter().find_map(|item| match item {
        UserVariableItem::UserIdentityItem(identity) => Some(identity),
        _ => None,
    })?;
    let bytes = match identity.identity_type() {
        UserIdentityType::UsernamePassword => identity.secondary_field(),
        UserIdentityType::Username | UserIdentityType::Jwt => identity.primary_field(),
        _ => Vec::new(),
    };
    let text = String::from_utf8(bytes).unwrap_or_default();
    Some(Shown {
        text: text.trim_end_matches([' ', '\0']).to_owned(),
        is_answer_wanted: identity.positive_response_requested(),
    })
}

/// Whether the association may begin, and as whose.
///
/// A text that is meant to be a key of ours must be one; other names are passed over as if the negotiation were not
/// known here, unless an identity is needed.
///
/// # Errors
///
/// The A-ASSOCIATE-RJ to answer: permanent, or transient where the database failed (PS3.8, table 9-21).
pub(super) fn decide(judged: Judged, is_needed: bool) -> Result<Option<Identified>, AssociationRJ> {
    let rejected = |result| AssociationRJ { result, source: Source::ServiceUser(UserReason::NoReasonGiven) };
    match judged {
        Judged::Known(identified) => Ok(Some(identified)),
        Judged::Wrong => Err(rejected(Verdict::Permanent)),
        Judged::Unanswered => Err(rejected(Verdict::Transient)),
        Judged::Foreign if is_needed => Err(rejected(Verdict::Permanent)),
        Judged::Foreign => Ok(None),
    }
}

/// What a SOP class takes of its user; `None`: nothing (C-ECHO).
pub(super) fn needed(sop_class: &str) -> Option<Permission> {
    let action = match sop_class.strip_prefix(QUERY_RETRIEVE_ROOT).map(|model| model.rsplit('.').next()) {
        Some(Some("1")) => Action::List,
        Some(_) => Action::Read,
        None if sop_class == uids::VERIFICATION => return None,
        None if sop_class == uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND => Action::List,
        None => Action::Create,
    };
    Some(Permission { resource: Resource::Study, action })
}

impl Identified {
    /// Whether its holder may store instances.
    pub(super) fn may_store(&self) -> bool {
        self.scopes.contains(&Permission { resource: Resource::Study, action: Action::Create })
    }
}

impl Negotiated {
    /// Notes whose association it is: contexts beyond what the key may do are refused (PS3.8, table 9-18:
    /// user-rejection), and the identity is answered where that was asked for.
    pub(super) fn admit(&mut self, identified: Identified, shown: &Shown) {
        let has = |it: &Permission| identified.scopes.contains(it);
        let read = Permission { resource: Resource::Study, action: Action::Read };
        // a context over which the peer is sent to by C-GET takes the right to read
        let may = |context: &Context| {
            needed(context.sop_class.as_str()).is_none_or(|it| has(&it))
                || context.takes_storage && has(&read)
        };
        self.keep(may);
        if shown.is_answer_wanted {
            let answer = UserVariableItem::Unknown(ANSWER_ITEM, EMPTY_ANSWER.into());
            self.answer.user_variables.push(answer);
        }
        self.info.identified = Some(identified);
    }

    /// Refuses (PS3.8, table 9-18: user-rejection) the contexts of query and retrieval.
    pub(super) fn withhold_reading(&mut self) {
        self.keep(|context| Model::of(context.sop_class.as_str()).is_none());
    }

    fn keep(&mut self, may: impl Fn(&Context) -> bool) {
        self.contexts.retain(|context| {
            let is_kept = may(context);
            let answers = &mut self.answer.presentation_contexts;
            if let Some(answer) = answers.iter_mut().find(|it| it.id == context.id && !is_kept) {
                answer.reason = PresentationContextResultReason::UserRejection;
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_ul::pdu::UserIdentity;

    fn with(identity: UserIdentity) -> AssociationRQ {
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "CT1".into(),
            called_ae_title: "MEDILINK".into(),
            application_context_name: "1.2.840.10008.3.1.1.1".into(),
            presentation_contexts: vec![],
            user_variables: vec![UserVariableItem::UserIdentityItem(identity)],
        }
    }

    #[test]
    fn a_key_is_looked_for_where_each_kind_of_identity_holds_it() {
        for (kind, primary, secondary, text) in [
            (UserIdentityType::UsernamePassword, "gateway", "mlk_a", "mlk_a"),
            (UserIdentityType::Username, "mlk_b", "", "mlk_b"),
            (UserIdentityType::Jwt, "mlk_c ", "", "mlk_c"),
            (UserIdentityType::SamlAssertion, "mlk_d", "", ""),
            (UserIdentityType::KerberosServiceTicket, "mlk_e", "", ""),
        ] {
            let identity = UserIdentity::new(true, kind, primary.into(), secondary.into());
            assert_eq!(shown(&with(identity)).unwrap(), Shown { text: text.into(), is_answer_wanted: true });
        }
        let binary = UserIdentity::new(false, UserIdentityType::Username, vec![0xFF, 0xFE], vec![]);
        assert_eq!(shown(&with(binary)).unwrap().text, "", "what is no text is no key");
    }

    #[test]
    fn a_wrong_key_never_passes_and_a_foreign_name_only_where_none_is_needed() {
        let known = Identified { api_key_id: ApiKeyId::new(), scopes: vec![] };
        for is_needed in [false, true] {
            assert_eq!(decide(Judged::Known(known.clone()), is_needed), Ok(Some(known.clone())));
            let verdict = |judged| decide(judged, is_needed).unwrap_err().result;
            assert_eq!(verdict(Judged::Wrong), Verdict::Permanent);
            assert_eq!(verdict(Judged::Unanswered), Verdict::Transient);
        }
        assert_eq!(decide(Judged::Foreign, false), Ok(None));
        assert_eq!(decide(Judged::Foreign, true).unwrap_err().result, Verdict::Permanent);
    }

    /// PS3.4, annex C.6: …1 is C-FIND, …2 C-MOVE, …3 C-GET of each information model.
    #[test]
    fn each_service_takes_its_own_right() {
        let permission = |action| Some(Permission { resource: Resource::Study, action });
        for (sop_class, action) in [
            (uids::CT_IMAGE_STORAGE, Action::Create),
            (uids::STORAGE_COMMITMENT_PUSH_MODEL, Action::Create),
            (uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND, Action::List),
            (uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND, Action::List),
            (uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE, Action::Read),
            (uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET, Action::Read),
        ] {
            assert_eq!(needed(sop_class), permission(action), "{sop_class}");
        }
        assert_eq!(needed(uids::VERIFICATION), None);
    }
}
