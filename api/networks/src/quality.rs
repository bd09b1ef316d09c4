//! How a network does where it runs.

mod count;

use axum::extract::State;
use gate::{Caller, Json, Path, Problem, Query};
use metrics::{describe_gauge, gauge};
use serde::Deserialize;
use storage::db::Conn;
use storage::records::network::quality::{Which as Images, samples};
use utoipa::IntoParams;

pub use count::{AbstentionView, GroupView, QualityView};

use crate::NetworksState;
use crate::known::{Known, all, meant};
use crate::state::for_whom;

/// So many images are what a network began with …
const FIRST: i64 = 1_000;
/// … and so many are how it does now.
const NEWEST: i64 = 10_000;
/// So many of a version's newest images are behind its gauges.
const MEASURED: i64 = 1_000;

/// Which version is looked at, and where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Which {
    /// This version; else the one that is active, else the one that came last.
    version: Option<String>,
    /// Whether over all clinics; else over the caller's.
    #[serde(default)]
    everywhere: bool,
}

/// `GET /api/models/{name}/quality?version=…&everywhere=…`
pub(crate) async fn quality(
    State(state): State<NetworksState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<QualityView>, Problem> {
    let clinic = for_whom(&caller, which.everywhere)?;
    let mut rows = match clinic {
        Some(clinic) => state.app.db.of(clinic).read().await?,
        None => state.app.db.read().await?,
    };
    let known = all(&mut rows, &state.registry, clinic).await?;
    let active =
        known.iter().find(|it| it.card.name == name && it.state == clinical::imaging::NetworkState::Active);
    let network = match (&which.version, active) {
        (None, Some(active)) => active,
        (version, _) => meant(&known, &name, version.as_deref())?,
    };
    let (card, label) = (&network.card, &network.card.texts.label);
    let version = (card.name.as_str(), card.version.as_str());
    let first = samples(&mut rows, clinic, version, label, Images::First, FIRST).await?;
    let newest = samples(&mut rows, clinic, version, label, Images::Newest, NEWEST).await?;
    Ok(Json(QualityView::of(card, clinic.is_none(), &first, &newest)))
}

/// Brings the gauges of every network version that has read images up to date: of its newest images, over all clinics.
///
/// # Errors
///
/// 500 where the database fails.
pub async fn measure(state: &NetworksState) -> Result<(), Problem> {
    describe_gauge!("medilink_network_images", "Newest shown images behind a network's other gauges");
    describe_gauge!(
        "medilink_network_reviews",
        "Of those, images whose primary label a physician has judged"
    );
    describe_gauge!("medilink_network_agreement", "Share of the reviews that agree with the network");
    describe_gauge!("medilink_network_positive_rate", "Share of the scored images that are called positive");
    describe_gauge!(
        "medilink_network_score_drift",
        "Population stability index of the scores against those of the first images: from 0.25 on look"
    );
    describe_gauge!("medilink_network_brightness_drift", "The same index of how bright the images are");
    let mut rows = state.app.db.read().await?;
    let known = all(&mut rows, &state.registry, None).await?;
    for network in &known {
        measure_one(&mut rows, network).await?;
    }
    Ok(())
}

async fn measure_one(rows: &mut Conn, Known { card, .. }: &Known) -> Result<(), Problem> {
    let version = (card.name.as_str(), card.version.as_str());
    let newest = samples(rows, None, version, &card.texts.label, Images::Newest, MEASURED).await?;
    if newest.is_empty() {
        return Ok(());
    }
    let first = samples(rows, None, version, &card.texts.label, Images::First, FIRST).await?;
    // One clinic's few reviews are nobody else's business.
    let of_all = QualityView::of(card, true, &first, &newest).overall;
    let gauges = [
        ("medilink_network_images", Some(of_all.images as f64)),
        ("medilink_network_reviews", of_all.reviewed.map(|count| count as f64)),
        ("medilink_network_agreement", of_all.agreement),
        ("medilink_network_positive_rate", of_all.positive_rate),
        ("medilink_network_score_drift", of_all.score_drift),
        ("medilink_network_brightness_drift", of_all.brightness_drift),
    ];
    for (gauge, value) in gauges {
        let Some(value) = value else { continue };
        gauge!(gauge, "network" => card.name.clone(), "version" => card.version.clone()).set(value);
    }
    Ok(())
}
