//! `GET …/metadata`: the data sets without bulk data, as DICOM JSON (PS3.18, section 10.4.1.1.2).
//!
//! The texts were made when the instances came, and lie beside their rows; they are read page by page, so that the
//! answer to a study of thousands holds little. What was stored before there were such texts is read once, and kept.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use clinical::id::{ClinicId, InstanceId};
use futures::stream::{self, StreamExt, TryStreamExt};
use gate::{Caller, Problem};
use ingest::dicom_json::{self, URL_PLACE};
use storage::db::DbError;
use storage::records::instance::Instance;
use storage::records::instance_metadata::{InstanceMetadata, Packed};

use crate::accept::{self, Accept};
use crate::base_url::BaseUrl;
use crate::conditional::ETag;
use crate::gzip::Coding;
use crate::header::{self as stored_header, HeaderError};
use crate::resource::{Resource, url_of};
use crate::state::DicomWebState;

/// Instances of one page.
const PAGE: usize = 64;
/// Pages under way.
const PAGES_AHEAD: usize = 2;
/// Headers read at a time where nothing is kept yet.
const READ_AHEAD: usize = 8;

/// `GET /dicom-web/studies/{study}/metadata` and the same below it
pub(crate) async fn metadata(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    base: BaseUrl,
    accept: Accept,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    accept::json_or_problem(&accept)?;
    let found = resource.instances(&state.app, &caller).await?;
    let coding = Coding::of(&headers);
    let digests = found.iter().map(|instance| instance.sha256.as_str());
    let etag = ETag::of(digests.chain([base.0.as_str(), "metadata", coding.as_str()]));
    if let Some(known) = etag.not_modified(&headers) {
        return Ok(known);
    }
    let reader = Reader { state, clinic: caller.clinic, base };
    let mut found = found.into_iter();
    let mut pages = std::iter::from_fn(move || {
        let page: Vec<Instance> = found.by_ref().take(PAGE).collect();
        (!page.is_empty()).then_some(page)
    });
    // The first is read before the status is told, so that an archive that fails is not a 200.
    let Some(first) = pages.next() else { return Err(Problem::not_found()) };
    let first = reader.page(first, b'[').await?;
    let rest = stream::iter(pages).map(move |page| {
        let reader = reader.clone();
        async move { reader.page(page, b',').await }
    });
    let here = |bytes: Bytes| stream::once(async { Ok::<_, HeaderError>(bytes) });
    let pieces = here(first).chain(rest.buffered(PAGES_AHEAD)).chain(here(Bytes::from_static(b"]")));
    Ok(etag.on(coding.answer(pieces)))
}

/// What reads the texts of one answer.
#[derive(Clone)]
struct Reader {
    state: DicomWebState,
    clinic: ClinicId,
    base: BaseUrl,
}

impl Reader {
    /// The texts of these instances behind `opening`, parted by commas.
    async fn page(&self, instances: Vec<Instance>, opening: u8) -> Result<Bytes, HeaderError> {
        let ids: Vec<InstanceId> = instances.iter().map(|instance| instance.instance_id).collect();
        let mut rows = self.state.app.db.of(self.clinic).read().await?;
        let kept = InstanceMetadata::of(&mut rows, self.clinic, &ids).await?;
        drop(rows);
        let kept: HashMap<InstanceId, InstanceMetadata> =
            kept.into_iter().map(|metadata| (metadata.instance_id, metadata)).collect();
        let kept_of = |instance: &Instance| {
            kept.get(&instance.instance_id).filter(|metadata| metadata.sha256 == instance.sha256)
        };
        let missing: Vec<&Instance> = instances.iter().filter(|it| kept_of(it).is_none()).collect();
        let mut made = self.made(missing).await?;

        let (mut page, mut text) = (Vec::with_capacity(instances.len() * 6_000), Vec::new());
        for (index, instance) in instances.iter().enumerate() {
            page.push(if index == 0 { opening } else { b',' });
            text.clear();
            match (kept_of(instance), made.remove(&instance.instance_id)) {
                (Some(metadata), _) => metadata.packed.unpack(&mut text)?,
                (None, made) => text = made.unwrap_or_default(),
            }
            place_url(&text, &url_of(instance, &self.base), &mut page);
        }
        Ok(page.into())
    }

    /// The texts of instances of which none is kept; from now on they are.
    async fn made(&self, missing: Vec<&Instance>) -> Result<HashMap<InstanceId, Vec<u8>>, HeaderError> {
        if missing.is_empty() {
            return Ok(HashMap::new());
        }
        let read = |instance: Instance| async move {
            let header = stored_header::read(&self.state, &instance).await?;
            let syntax = &instance.transfer_syntax_uid;
            let text = dicom_json::data_set(&header, syntax, instance.frame_count);
            Ok::<_, HeaderError>((instance, text))
        };
        let missing: Vec<Instance> = missing.into_iter().cloned().collect();
        let made: Vec<(Instance, Vec<u8>)> =
            stream::iter(missing).map(read).buffered(READ_AHEAD).try_collect().await?;
        if let Err(error) = self.keep(&made).await {
            // they are made again the next time, and an instance that is gone by now needs none
            tracing::debug!(%error, "metadata that were made are not kept");
        }
        Ok(made.into_iter().map(|(instance, text)| (instance.instance_id, text)).collect())
    }

    async fn keep(&self, made: &[(Instance, Vec<u8>)]) -> Result<(), DbError> {
        let mut tx = self.state.app.db.of(self.clinic).begin().await?;
        for (instance, text) in made {
            if let Some(packed) = Packed::of(text) {
                let Instance { instance_id, sha256, .. } = instance;
                InstanceMetadata::keep(&mut tx, self.clinic, *instance_id, sha256, &packed).await?;
            }
        }
        tx.commit().await
    }
}

/// Appends the text with the URL of its instance where it belongs.
fn place_url(text: &[u8], url: &str, page: &mut Vec<u8>) {
    let mut from = 0;
    for at in memchr::memchr_iter(URL_PLACE, text) {
        page.extend_from_slice(&text[from..at]);
        page.extend_from_slice(url.as_bytes());
        from = at + 1;
    }
    page.extend_from_slice(&text[from..]);
}
