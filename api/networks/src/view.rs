//! What clients see of networks.

use chrono::{DateTime, Utc};
use clinical::imaging::NetworkState;
use serde::Serialize;
use storage::records::network::comparison::{Comparison, ShadowRuns};
use storage::records::network::{Change, Proof};
use utoipa::ToSchema;

use crate::known::Known;

/// One version of a network.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkView {
    /// The card's name.
    pub name: String,
    /// The card's version.
    pub version: String,
    /// `draft`, `shadow`, `active` or `retired`.
    pub state: NetworkState,
    /// `classification`, `multi-label`, `detection`, `segmentation` or `segmentation-3d`.
    pub task: String,
    /// The modalities that it is meant for.
    pub modality: Vec<String>,
    /// SHA-256 of the weights.
    pub sha256: String,
    /// `built-in` or `added`.
    pub source: String,
    /// `shipped`, `no-weights`, `waiting`, `proved` or `refused`.
    pub proof: String,
    /// What was seen when it ran; where it was refused, what to mend.
    pub proof_detail: Option<String>,
    /// The stable code of a refusal.
    pub refusal_code: Option<String>,
    /// What it is for.
    pub intended_use: String,
    /// Licence of the weights.
    pub licence: String,
    /// Who added it.
    pub added_by: Option<String>,
    /// When.
    pub added_at: Option<DateTime<Utc>>,
}

impl From<&Known> for NetworkView {
    fn from(known: &Known) -> Self {
        let Known { card, state, row } = known;
        let proof = row.as_ref().map(|row| &row.proof);
        let (proof_detail, refusal_code) = match proof {
            Some(Proof::Proved { word, .. }) => (Some(word.clone()), None),
            Some(Proof::Refused { code, reason }) => (Some(reason.clone()), Some(code.clone())),
            _ => (None, None),
        };
        Self {
            name: card.name.clone(),
            version: card.version.clone(),
            state: *state,
            task: card.task.as_str().to_owned(),
            modality: card.eligibility.modality.clone(),
            sha256: card.sha256.clone(),
            source: if row.is_some() { "added" } else { "built-in" }.to_owned(),
            proof: proof.map_or("shipped", Proof::as_str).to_owned(),
            proof_detail,
            refusal_code,
            intended_use: card.intended_use.clone(),
            licence: card.licence.clone(),
            added_by: row.as_ref().map(|row| row.added_by.clone()),
            added_at: row.as_ref().map(|row| row.added_at),
        }
    }
}

/// A version with all that its card says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionView {
    /// What lists say of it.
    #[serde(flatten)]
    pub network: NetworkView,
    /// The card, with the keys of its TOML.
    #[schema(value_type = Object)]
    pub card: serde_json::Value,
}

/// One change of a network's state.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// The version.
    pub version: String,
    /// What it became.
    pub state: NetworkState,
    /// Whether for all clinics.
    pub everywhere: bool,
    /// Who changed it.
    pub changed_by: String,
    /// When.
    pub changed_at: DateTime<Utc>,
    /// Who undid it.
    pub undone_by: Option<String>,
    /// When.
    pub undone_at: Option<DateTime<Utc>>,
}

impl ChangeView {
    /// The view of a change for all clinics, or for the caller's.
    pub(crate) fn of(change: Change, everywhere: bool) -> Self {
        let (undone_by, undone_at) = change.undone.unzip();
        Self {
            version: change.version,
            state: change.state,
            everywhere,
            changed_by: change.changed_by,
            changed_at: change.changed_at,
            undone_by,
            undone_at,
        }
    }
}

/// A network with everything that there is to say of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkDetail {
    /// The name.
    pub name: String,
    /// Its versions, the last one last.
    pub versions: Vec<VersionView>,
    /// What was changed, newest first.
    pub changes: Vec<ChangeView>,
}

/// A network in the shadow beside those that are shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonView {
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
    /// How often it ran in the shadow.
    pub analyses: i64,
    /// How often it would not look.
    pub abstentions: i64,
    /// Label by label, beside each network that was shown.
    pub against: Vec<AgainstView>,
}

/// One label beside the same one of a network that was shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgainstView {
    /// Name of the network that was shown.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The label that both know.
    pub label: String,
    /// Images for which both gave a probability.
    pub images: i64,
    /// Share of them on which both agree, 0.0 to 1.0.
    pub agreement: f64,
    /// Images that both call positive.
    pub both_positive: i64,
    /// Images that neither does.
    pub both_negative: i64,
    /// Images that only the one in the shadow calls positive.
    pub shadow_only: i64,
    /// Images that only the shown one does.
    pub shown_only: i64,
    /// The mean of shadow minus shown, in probability.
    pub mean_difference: f64,
    /// The mean size of that difference.
    pub mean_absolute_difference: f64,
    /// Its largest size.
    pub largest_difference: f64,
}

impl From<Comparison> for AgainstView {
    fn from(row: Comparison) -> Self {
        Self {
            agreement: row.agreement(),
            name: row.against_name,
            version: row.against_version,
            label: row.label,
            images: row.images,
            both_positive: row.both_positive,
            both_negative: row.both_negative,
            shadow_only: row.shadow_only,
            shown_only: row.shown_only,
            mean_difference: row.mean_difference,
            mean_absolute_difference: row.mean_absolute_difference,
            largest_difference: row.largest_difference,
        }
    }
}

impl ComparisonView {
    /// The report of one version.
    pub(crate) fn of(known: &Known, runs: ShadowRuns, rows: Vec<Comparison>) -> Self {
        Self {
            name: known.card.name.clone(),
            version: known.card.version.clone(),
            analyses: runs.analyses,
            abstentions: runs.abstentions,
            against: rows.into_iter().map(AgainstView::from).collect(),
        }
    }
}
