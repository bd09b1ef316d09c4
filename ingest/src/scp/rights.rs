//! Whether an association may still do what it was opened for: keys are revoked and titles change while it lasts.

use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;

use super::association::House;
use super::negotiation::{AssociationInfo, Context};
use super::query::Model;
use super::status::StoreStatus;
use super::user_identity::{Judged, needed};
use super::{KnownTitles, ScpSettings, StoreScp};

/// So long an answer may lag behind the house.
const LAG: Duration = Duration::from_secs(3);

/// What the house has said last about an association.
#[derive(Debug)]
pub(super) struct Rights {
    asked_at: Instant,
    known: KnownTitles,
    judged: Judged,
}

impl Rights {
    /// Those with which an association begins.
    pub(super) fn new(known: KnownTitles, info: &AssociationInfo) -> Self {
        let judged = info.identified.clone().map_or(Judged::Foreign, Judged::Known);
        Self { asked_at: Instant::now(), known, judged }
    }

    /// Why the next operation over `context` is refused; the house is asked every three seconds at most.
    pub(super) async fn refusal<S: StoreScp>(
        &mut self,
        house: &House<S>,
        info: &AssociationInfo,
        context: &Context,
    ) -> Option<StoreStatus> {
        if self.asked_at.elapsed() >= LAG {
            self.known = house.store.known_titles(&info.called_ae, &info.calling_ae).await;
            if info.identified.is_some() {
                self.judged = house.store.judge_again(info).await;
            }
            self.asked_at = Instant::now();
        }
        self.judgement(&house.settings, info, context)
    }

    fn judgement(
        &self,
        settings: &ScpSettings,
        info: &AssociationInfo,
        context: &Context,
    ) -> Option<StoreStatus> {
        let sop_class = context.sop_class.as_str();
        if sop_class == uids::VERIFICATION {
            return None;
        }
        let is_called = self.known.called || settings.any_called || info.called_ae == settings.ae_title;
        let may_send = self.known.calling || settings.allowed_calling.contains(&info.calling_ae);
        let may_read = self.known.calling || settings.query_calling.contains(&info.calling_ae);
        if !is_called || !(may_send || may_read) {
            return refused("the titles of the association count no longer");
        }
        match &self.judged {
            Judged::Known(identified) => {
                let has = needed(sop_class).is_none_or(|it| identified.scopes.contains(&it));
                if has { None } else { refused("the key of the association may no longer do so") }
            }
            Judged::Wrong => refused("the key of the association counts no longer"),
            Judged::Foreign => match Model::of(sop_class) {
                Some(_) if !may_read => refused("the calling title may no longer read"),
                None if !may_send => refused("the calling title may read, not send"),
                _ => None,
            },
            // What needs the database will say so itself.
            Judged::Unanswered => None,
        }
    }
}

fn refused(comment: &'static str) -> Option<StoreStatus> {
    Some(StoreStatus::new(StoreStatus::NOT_AUTHORIZED, comment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scp::{CallingAe, Identified};
    use clinical::id::ApiKeyId;

    fn info() -> AssociationInfo {
        AssociationInfo {
            number: 1,
            peer: ([127, 0, 0, 1], 104).into(),
            calling_ae: "CT1".parse().unwrap(),
            called_ae: "NORTH".parse().unwrap(),
            identified: None,
        }
    }

    fn context(sop_class: &str) -> Context {
        Context {
            id: 1,
            sop_class: sop_class.parse().unwrap(),
            transfer_syntax: uids::IMPLICIT_VR_LITTLE_ENDIAN.parse().unwrap(),
            takes_storage: false,
            combines_date_and_time: false,
        }
    }

    const FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;

    #[test]
    fn a_title_that_counts_no_longer_ends_the_right_and_never_that_to_an_echo() {
        let known = |called, calling| {
            let mut rights = Rights::new(KnownTitles { called, calling }, &info());
            rights.judged = Judged::Foreign;
            rights
        };
        let strict = ScpSettings::default();
        let open =
            ScpSettings { any_called: true, allowed_calling: CallingAe::Any, ..ScpSettings::default() };
        let readers =
            ScpSettings { any_called: true, query_calling: CallingAe::Any, ..ScpSettings::default() };
        for (rights, settings, sop_class, is_refused) in [
            (known(true, true), &strict, FIND, false),
            (known(true, true), &strict, uids::CT_IMAGE_STORAGE, false),
            (known(true, false), &strict, uids::CT_IMAGE_STORAGE, true),
            (known(false, true), &strict, uids::CT_IMAGE_STORAGE, true),
            (known(false, false), &strict, uids::VERIFICATION, false),
            (known(false, false), &open, uids::CT_IMAGE_STORAGE, false),
            (known(false, false), &open, FIND, true),
            (known(false, false), &readers, FIND, false),
            (known(false, false), &readers, uids::CT_IMAGE_STORAGE, true),
        ] {
            let refusal = rights.judgement(settings, &info(), &context(sop_class));
            assert_eq!(refusal.is_some(), is_refused, "{rights:?} {sop_class}");
        }
    }

    #[test]
    fn a_key_that_was_revoked_or_narrowed_ends_what_it_gave() {
        let settings =
            ScpSettings { any_called: true, allowed_calling: CallingAe::Any, ..ScpSettings::default() };
        let key = |scopes: &[&str]| {
            let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
            Judged::Known(Identified { api_key_id: ApiKeyId::new(), scopes })
        };
        for (judged, sop_class, is_refused) in [
            (key(&["study:create"]), uids::CT_IMAGE_STORAGE, false),
            (key(&["study:create"]), FIND, true),
            (key(&["study:list"]), FIND, false),
            (Judged::Wrong, FIND, true),
            (Judged::Wrong, uids::CT_IMAGE_STORAGE, true),
            (Judged::Unanswered, FIND, false),
        ] {
            let rights = Rights { judged, ..Rights::new(KnownTitles::default(), &info()) };
            let refusal = rights.judgement(&settings, &info(), &context(sop_class));
            assert_eq!(refusal.is_some(), is_refused, "{rights:?} {sop_class}");
        }
    }
}
