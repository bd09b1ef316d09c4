//! Instances without what tells who the patient is, on their way out (PS3.15, annex E).
//!
//! Within a project of the clinic the same UID and the same patient stand for the same in whatever is fetched, so that
//! series and studies stay together; nobody without the clinic's key can go back.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use bytes::Bytes;
use clinical::role::{Action, Permission, Resource as Kind};
use gate::{Caller, Problem};
use ingest::deidentify::{BurnedIn, Deidentified, DeidentifyError, Profile, Project, deidentify};
use ingest::receive::ReceiveError;
use storage::records::instance::Instance;

use crate::pixels;
use crate::retrieve::Given;
use crate::state::DicomWebState;
use crate::wish::invalid;

/// A project's name: at most so many letters, digits, `-`, `_` and `.`.
const NAME_LENGTH: usize = 64;

/// How what is asked for is de-identified.
#[derive(Clone)]
pub(crate) struct Deidentification {
    profile: Profile,
    /// The words of the profile and the project's name, for entity tags and the audit trail.
    told: String,
    project: Project,
}

impl Deidentification {
    /// What the parameters `deidentify` and `project` ask for; `None` where they are not there.
    ///
    /// # Errors
    ///
    /// 400 `invalid-value`; 403 `not-allowed` for who may not export studies; 500 where the clinic has no key.
    pub(crate) async fn asked(
        state: &DicomWebState,
        caller: &Caller,
        uri: &Uri,
    ) -> Result<Option<Self>, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)?;
        let value =
            |wanted: &str| pairs.iter().rev().find(|(name, _)| name == wanted).map(|(_, it)| it.as_str());
        match (value("deidentify"), value("project")) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(invalid("project goes with deidentify")),
            (Some(words), name) => Self::of(state, caller, words, name.unwrap_or_default()).await.map(Some),
        }
    }

    /// The profile of these words under the clinic's project `name`; an empty name is a project, too.
    ///
    /// # Errors
    ///
    /// As [`Deidentification::asked`].
    pub(crate) async fn of(
        state: &DicomWebState,
        caller: &Caller,
        words: &str,
        name: &str,
    ) -> Result<Self, Problem> {
        let export = Permission { resource: Kind::Study, action: Action::Export };
        if !caller.may(export) {
            let detail = format!("to de-identify what is fetched takes the right {export}");
            return Err(Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail));
        }
        let profile = profile(words)?;
        let is_name = name.len() <= NAME_LENGTH
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_name {
            return Err(invalid("project is a name of at most 64 letters, digits, '-', '_' and '.'"));
        }
        let project = state.receiver.export_project(caller.clinic, name).await;
        let project = project.map_err(|error: ReceiveError| Problem::internal(error.code(), &error))?;
        Ok(Self { profile, told: format!("{words}/{name}"), project })
    }

    /// What distinguishes it from others of the clinic.
    pub(crate) fn told(&self) -> &str {
        &self.told
    }

    /// The instance as it is given, de-identified.
    ///
    /// # Errors
    ///
    /// 406 with the reason's code where the profile refuses it or it cannot be given so; those of reading it.
    pub(crate) async fn object(
        &self,
        state: &DicomWebState,
        instance: &Instance,
        given: Given,
    ) -> Result<Bytes, Problem> {
        let (bytes, _permit) = match given {
            Given::Stored => pixels::hold_bytes(state, instance).await?,
            Given::Transcoded(syntax) => {
                let frames = u64::try_from(instance.frame_count.unwrap_or(0)).unwrap_or(0);
                let held = pixels::hold(state, instance, frames).await?;
                (pixels::transcoded(state, &held, syntax).await?, held.permit)
            }
        };
        let Self { profile, project, .. } = self.clone();
        let done =
            pixels::blocking(move || deidentify(bytes, &profile, &project).map(Deidentified::into_bytes));
        done.await?.map_err(refusal)
    }

    /// Writes down that images have left the house so, each time, before they do.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub(crate) async fn write_down(&self, state: &DicomWebState, caller: &Caller) -> Result<(), Problem> {
        caller.because(&format!("exported de-identified: {}", self.told));
        let mut tx = state.app.db.of(caller.clinic).begin().await?;
        caller.write_down(&mut tx).await?;
        Ok(tx.commit().await?)
    }
}

/// `basic`, or options of the profile, parted by commas; `allow-burned-in` lets pass what is said to show who it is.
fn profile(words: &str) -> Result<Profile, Problem> {
    let mut profile = Profile::default();
    for word in words.split(',').map(str::trim) {
        match word {
            "basic" | "" => {}
            "allow-burned-in" => profile.burned_in = BurnedIn::Flagged,
            word => profile.choose(word).map_err(|error| {
                invalid(&format!(
                    "deidentify is basic, or options parted by commas: {error}, allow-burned-in"
                ))
            })?,
        }
    }
    Ok(profile)
}

/// What this object cannot become is 406; what was stored was read before, so another failure is ours.
fn refusal(error: DeidentifyError) -> Problem {
    match error {
        DeidentifyError::Refused(_) | DeidentifyError::Dicomdir | DeidentifyError::MissingUid(_) => {
            Problem::new(StatusCode::NOT_ACCEPTABLE, error.code(), error.to_string())
        }
        error => Problem::internal(error.code(), &error),
    }
}

#[cfg(test)]
mod tests {
    use ingest::deidentify::{Dates, ProfileOption};

    use super::*;

    #[test]
    fn the_words_of_a_profile_are_those_of_the_command() {
        assert_eq!(profile("basic").unwrap(), Profile::default());
        let chosen = profile("uids, modified-dates,allow-burned-in").unwrap();
        assert_eq!((chosen.dates, chosen.burned_in), (Dates::Modified, BurnedIn::Flagged));
        assert!(chosen.has(ProfileOption::Uids));
        assert_eq!(profile("everything").unwrap_err().code(), "invalid-value");
    }
}
