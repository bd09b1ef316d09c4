//! The application entities to which a clinic sends.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::ae_title::AeTitle;
use clinical::id::{ClinicId, PeerId};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::DbError;
use storage::records::peer::{DicomPeer, PeerFacts};
use utoipa::ToSchema;

/// The longest DNS name (RFC 1035, section 2.3.4), as text.
const HOST_CHARACTERS: usize = 253;

/// A peer as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DicomPeerView {
    /// Our identifier.
    pub id: PeerId,
    /// Its AE title.
    pub ae_title: String,
    /// Its host: a DNS name or an address.
    pub host: String,
    /// The port where it listens.
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// Whether it is called over TLS.
    pub uses_tls: bool,
    /// When it was named.
    pub created_at: DateTime<Utc>,
}

impl From<DicomPeer> for DicomPeerView {
    fn from(peer: DicomPeer) -> Self {
        Self {
            id: peer.peer_id,
            ae_title: peer.facts.ae_title.into(),
            host: peer.facts.host,
            port: peer.facts.port,
            uses_tls: peer.facts.uses_tls,
            created_at: peer.created_at,
        }
    }
}

/// How a peer begins.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewDicomPeer {
    /// 1 to 16 printable ASCII characters without backslash, and no other peer's title.
    #[schema(min_length = 1, max_length = 16, pattern = "^ *[!-\\[\\]-~]([ -\\[\\]-~]*[!-\\[\\]-~])? *$")]
    ae_title: String,
    /// A DNS name or an address.
    #[schema(min_length = 1, max_length = 253, pattern = "^[A-Za-z0-9._:-]+$")]
    host: String,
    /// The port where it listens.
    #[schema(minimum = 1, maximum = 65535)]
    port: u16,
    /// Whether it is called over TLS; it is not when it is left out.
    uses_tls: Option<bool>,
}

/// What becomes different; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DicomPeerPatch {
    #[schema(min_length = 1, max_length = 16, pattern = "^ *[!-\\[\\]-~]([ -\\[\\]-~]*[!-\\[\\]-~])? *$")]
    ae_title: Option<String>,
    #[schema(min_length = 1, max_length = 253, pattern = "^[A-Za-z0-9._:-]+$")]
    host: Option<String>,
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    uses_tls: Option<bool>,
}

impl DicomPeerPatch {
    fn apply(self, facts: &mut PeerFacts) -> Result<(), Problem> {
        if let Some(title) = self.ae_title {
            facts.ae_title = checked_title(&title)?;
        }
        if let Some(host) = self.host {
            facts.host = checked_host(&host)?;
        }
        if let Some(port) = self.port {
            facts.port = checked_port(port)?;
        }
        facts.uses_tls = self.uses_tls.unwrap_or(facts.uses_tls);
        Ok(())
    }
}

pub(crate) fn checked_title(text: &str) -> Result<AeTitle, Problem> {
    text.parse().map_err(|error| Problem::bad_request("invalid-ae-title", format!("{error}")))
}

fn checked_host(text: &str) -> Result<String, Problem> {
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if text.is_empty() || text.len() > HOST_CHARACTERS || !text.bytes().all(is_host) {
        let detail = "host is a DNS name or an address, without brackets and without a port";
        return Err(Problem::bad_request("invalid-host", detail));
    }
    Ok(text.to_owned())
}

fn checked_port(port: u16) -> Result<u16, Problem> {
    if port == 0 { Err(Problem::bad_request("invalid-host", "port is 1 to 65535")) } else { Ok(port) }
}

fn taken(error: DbError) -> Problem {
    match error {
        DbError::Conflict => Problem::conflict("dicom-peer-exists", "the clinic has a peer of that title"),
        error => error.into(),
    }
}

/// `POST /api/v1/clinics/{clinicId}/dicom-peers`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewDicomPeer>,
) -> Result<(StatusCode, Json<DicomPeerView>), Problem> {
    let facts = PeerFacts {
        ae_title: checked_title(&request.ae_title)?,
        host: checked_host(&request.host)?,
        port: checked_port(request.port)?,
        uses_tls: request.uses_tls.unwrap_or(false),
    };

    let mut tx = app.db.of(caller.clinic).begin().await?;
    let peer = DicomPeer::create(&mut tx, caller.clinic, facts, app.clock.now()).await.map_err(taken)?;
    caller.about_record(peer.peer_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(peer.into())))
}

/// `GET /api/v1/clinics/{clinicId}/dicom-peers`
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<DicomPeerView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = DicomPeer::list(&mut rows, caller.clinic, page.after, page.rows()).await?;
    Ok(page.of_rows(found, |peer| peer.peer_id.0).map(DicomPeerView::from))
}

/// `GET /api/v1/clinics/{clinicId}/dicom-peers/{peerId}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, PeerId)>,
) -> Result<Json<DicomPeerView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(DicomPeer::find(&mut rows, caller.clinic, id).await?.into()))
}

/// `PATCH /api/v1/clinics/{clinicId}/dicom-peers/{peerId}`
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, PeerId)>,
    Json(request): Json<DicomPeerPatch>,
) -> Result<Json<DicomPeerView>, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let mut peer = DicomPeer::find(&mut tx, caller.clinic, id).await?;
    request.apply(&mut peer.facts)?;
    DicomPeer::change(&mut tx, caller.clinic, id, &peer.facts).await.map_err(taken)?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(Json(peer.into()))
}

/// `DELETE /api/v1/clinics/{clinicId}/dicom-peers/{peerId}`
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((_, id)): Path<(ClinicId, PeerId)>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    DicomPeer::remove(&mut tx, caller.clinic, id).await.map_err(|error| match error {
        DbError::Conflict => Problem::conflict("dicom-peer-in-use", "a rule sends there: remove it first"),
        error => error.into(),
    })?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(StatusCode::NO_CONTENT)
}
