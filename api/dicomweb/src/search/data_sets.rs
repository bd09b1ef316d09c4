//! Attributes that are no columns: from the data sets that were kept as the instances came.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use clinical::id::{ClinicId, InstanceId};
use dicom_core::Tag;
use gate::Problem;
use ingest::dicom_json::{URL_PLACE, tag_of};
use serde_json::{Map, Value};
use storage::db::Db;
use storage::records::instance_metadata::InstanceMetadata;

use super::answer::Attributes;
use crate::pixels;

/// Data sets that are held at a time.
const PAGE: usize = 64;

/// An instance of which attributes are wanted, for the result of that number.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) result: usize,
    pub(super) instance_id: InstanceId,
    pub(super) sha256: String,
    /// Where its bulk data are; empty where such attributes are left out.
    pub(super) url: String,
}

/// The results, to each of which is added what the data set of its instance says: the attributes of `fields`, or all.
///
/// Nothing is added where no data set is kept: it was too long, or came before data sets were. No connection is held
/// while the data sets are read, on a thread of their own.
pub(super) async fn added(
    db: &Db,
    clinic: ClinicId,
    mut results: Vec<Attributes>,
    wanted: Vec<Wanted>,
    fields: Option<&BTreeSet<Tag>>,
) -> Result<Vec<Attributes>, Problem> {
    let fields = fields.map(|fields| Arc::new(fields.clone()));
    let mut wanted = wanted.into_iter();
    loop {
        let page: Vec<Wanted> = wanted.by_ref().take(PAGE).collect();
        if page.is_empty() {
            return Ok(results);
        }
        let ids: Vec<InstanceId> = page.iter().map(|wanted| wanted.instance_id).collect();
        let kept = InstanceMetadata::of(&mut db.read().await?, clinic, &ids).await?;
        let fields = fields.clone();
        let read = move || {
            add_page(&mut results, &page, kept, fields.as_deref())?;
            Ok::<_, Problem>(results)
        };
        results = pixels::blocking(read).await??;
    }
}

fn add_page(
    results: &mut [Attributes],
    page: &[Wanted],
    kept: Vec<InstanceMetadata>,
    fields: Option<&BTreeSet<Tag>>,
) -> Result<(), Problem> {
    let kept: HashMap<InstanceId, InstanceMetadata> =
        kept.into_iter().map(|metadata| (metadata.instance_id, metadata)).collect();
    for Wanted { result, instance_id, sha256, url } in page {
        let Some(metadata) = kept.get(instance_id).filter(|metadata| metadata.sha256 == *sha256) else {
            continue;
        };
        let mut text = Vec::new();
        metadata.packed.unpack(&mut text)?;
        let mut placed = Vec::with_capacity(text.len() + 256);
        for piece in text.split_inclusive(|byte| *byte == URL_PLACE) {
            match piece.split_last() {
                Some((&URL_PLACE, piece)) => placed.extend_from_slice(&[piece, url.as_bytes()].concat()),
                _ => placed.extend_from_slice(piece),
            }
        }
        let data_set: Map<String, Value> = serde_json::from_slice(&placed)
            .map_err(|error| Problem::internal("instance-unreadable", &error))?;
        let Some(result) = results.get_mut(*result) else { continue };
        for (name, attribute) in &data_set {
            let Some(tag) = tag_of(name) else { continue };
            let is_asked = fields.is_none_or(|fields| fields.contains(&tag));
            let is_elsewhere = url.is_empty() && attribute.get("BulkDataURI").is_some();
            if is_asked && !is_elsewhere {
                result.add(tag, attribute);
            }
        }
    }
    Ok(())
}
