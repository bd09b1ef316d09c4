//! `ExplainFindings`: what of each image counted for what was found in it, as a map and as a tinted picture.
//!
//! It comes after the findings, which never wait for it, and is done when there is no other work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use clinical::id::{ClinicId, FindingId, InstanceId, StudyId};
use clinical::imaging::{DecodeRequest, FrameMap};
use clinical::job::Queue;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use inference::Network;
use ingest::part10::Part10;
use ingest::pixels::{Picture, RenderFormat, RenderOptions, Viewport};
use models::Task;
use storage::archive::ArchiveError;
use storage::queue;
use storage::records::analysis::Analysis;
use storage::records::finding::Finding;
use storage::records::instance::Instance;
use tracing::{info, warn};
use uuid::Uuid;

use crate::compute;
use crate::networks;
use crate::wiring::House;

/// So many findings of one analysis have maps, the most probable ones.
const PER_ANALYSIS: usize = 4;
/// So long parts of one frame are hidden one after the other, for a network that gives no maps itself.
const OCCLUSION: Duration = Duration::from_secs(5);
/// The longest side of a tinted picture, in pixels.
const PICTURE: u32 = 1024;

/// Makes the maps that are missing; run twice, it leaves the same rows.
pub async fn run(house: &Arc<House>, claimed: &queue::Claimed, study_id: StudyId) -> Result<()> {
    let clinic = claimed.clinic_id;
    let mut rows = house.db.read().await?;
    let analyses = Analysis::of_study(&mut rows, clinic, study_id).await?;
    let images = Instance::to_analyze(&mut rows, clinic, study_id).await?;
    drop(rows);
    let images: BTreeMap<InstanceId, Instance> =
        images.into_iter().map(|image| (image.instance_id, image)).collect();
    // The reader holds every network of the clinic from here on.
    networks::at_hand(house, clinic).await?;
    for analysis in &analyses {
        let findings = to_explain(analysis);
        let Some(image) = images.get(&analysis.instance_id).filter(|_| !findings.is_empty()) else {
            continue;
        };
        if !queue::is_held(&mut house.db.read().await?, claimed).await?
            || queue::give_way(&house.db, Queue::Imaging, claimed, house.clock.now()).await?
        {
            return Ok(());
        }
        let Some(card) = networks::card_of_analysis(&house.reader, analysis) else { continue };
        if card.task == Task::Segmentation3d {
            // Its masks tell; there is no map of a single frame.
            continue;
        }
        let title = card.title();
        let network = {
            let house = Arc::clone(house);
            compute::spawn(move || house.reader.network(&card)).await?
        };
        let network = match network {
            Ok(network) => network,
            // Another try would end as this one: the findings stand without maps.
            Err(error) => {
                warn!(network = title, %error, "a network explains nothing");
                continue;
            }
        };
        let bytes = match house.archive.get(&image.blob_key).await {
            Ok(bytes) => bytes,
            Err(error @ (ArchiveError::NotFound | ArchiveError::Damaged(_))) => {
                warn!(instance.id = %image.instance_id, %error, "an image cannot be explained");
                continue;
            }
            Err(error) => return Err(error).context("the instance's bytes"),
        };
        let asked: Vec<(FindingId, u32, String)> = findings
            .iter()
            .map(|it| (it.finding_id, u32::try_from(it.frame).unwrap_or(u32::MAX), it.label.clone()))
            .collect();
        let explained = {
            let house = Arc::clone(house);
            compute::spawn(move || explain(&house, &network, bytes, &asked)).await?
        };
        match explained {
            Ok(explained) => keep(house, clinic, analysis, explained).await?,
            // Another try would end as this one: the findings stand without maps.
            Err(error) => {
                let error = format!("{error:#}");
                warn!(analysis.id = %analysis.analysis_id, error, "an analysis stays without maps");
            }
        }
    }
    let mut tx = house.db.begin().await?;
    queue::finish(&mut tx, claimed).await?;
    Ok(tx.commit().await?)
}

/// The findings of an analysis that want a map and have none: those that are called present, else the most probable
/// one that physicians judge.
fn to_explain(analysis: &Analysis) -> Vec<&Finding> {
    let is_present =
        |finding: &&Finding| finding.threshold.is_some_and(|threshold| finding.probability >= threshold);
    let mut wanted: Vec<&Finding> = analysis.to_judge().filter(is_present).take(PER_ANALYSIS).collect();
    if wanted.is_empty() {
        wanted.extend(analysis.to_judge().next());
    }
    wanted.retain(|finding| finding.saliency_key.is_none());
    wanted
}

/// A finding's map and tinted picture, both PNG.
struct Explained {
    finding_id: FindingId,
    saliency: Vec<u8>,
    overlay: Vec<u8>,
}

/// The findings asked for, explained.
fn explain(
    house: &House,
    network: &Network,
    bytes: Bytes,
    asked: &[(FindingId, u32, String)],
) -> Result<Vec<Explained>> {
    let limits = house.config.receive()?.limits.part10;
    let object = Part10::read(bytes, &limits)?;
    let view = Viewport { columns: PICTURE, rows: PICTURE, region: None };
    let as_it_looks = RenderOptions { window: None, viewport: Some(view), format: RenderFormat::Png };
    let mut frames: Vec<u32> = asked.iter().map(|(_, frame, _)| *frame).collect();
    frames.sort_unstable();
    frames.dedup();
    let mut explained = Vec::new();
    for index in frames {
        let request = DecodeRequest::frame(index);
        let decoded = house.reader.decode(&object, &request)?;
        let Some(frame) = decoded.first() else { continue };
        let of_frame = || asked.iter().filter(|(_, frame, _)| *frame == index);
        let labels: Vec<&str> = of_frame().map(|(.., label)| label.as_str()).collect();
        let started = Instant::now();
        let maps = inference::explain(network, frame, &labels, &|| started.elapsed() < OCCLUSION)?;
        let picture = Picture::of(frame, &as_it_looks)?;
        for (finding_id, _, label) in of_frame() {
            let Some(made) = maps.iter().find(|made| made.label == *label) else { continue };
            explained.push(Explained {
                finding_id: *finding_id,
                saliency: grey_png(&made.map)?,
                overlay: tinted_png(&picture, &made.map)?,
            });
        }
    }
    Ok(explained)
}

/// The map as a grey PNG of 16 bits.
fn grey_png(map: &FrameMap) -> Result<Vec<u8>> {
    // The encoder takes them as the machine has them.
    let samples: Vec<u8> = map.values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(&samples, map.columns, map.rows, ExtendedColorType::L16)?;
    Ok(file)
}

/// The picture, tinted by the map, as a PNG.
fn tinted_png(picture: &Picture, map: &FrameMap) -> Result<Vec<u8>> {
    let ((samples, channels), size) = (picture.samples(), picture.size());
    let tinted = inference::overlay(samples, channels, size, map);
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(&tinted, size.0, size.1, ExtendedColorType::Rgb8)?;
    Ok(file)
}

/// Stores the pictures, then names them: what is not named in the end is swept.
async fn keep(house: &House, clinic: ClinicId, analysis: &Analysis, explained: Vec<Explained>) -> Result<()> {
    for Explained { finding_id, saliency, overlay } in explained {
        let nonce = Uuid::new_v4().simple();
        let place = format!("clinics/{clinic}/analyses/{}/{finding_id}.{nonce}", analysis.analysis_id);
        let saliency_key = house.archive.name_of_new(format!("{place}.saliency.png"));
        let overlay_key = house.archive.name_of_new(format!("{place}.overlay.png"));
        house.archive.put(&saliency_key, [Bytes::from(saliency)]).await?;
        house.archive.put(&overlay_key, [Bytes::from(overlay)]).await?;
        let mut tx = house.db.begin().await?;
        let is_kept = Finding::explain(&mut tx, clinic, finding_id, &saliency_key, &overlay_key).await?;
        tx.commit().await?;
        if is_kept {
            info!(finding.id = %finding_id, "a finding has its map");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_comes_back_from_its_file_to_the_last_bit() {
        let map = FrameMap { frame: 0, rows: 2, columns: 3, values: vec![0, 1, 255, 256, 40_000, 65_535] };
        let file = grey_png(&map).unwrap();
        assert_eq!((file[24], file[25]), (16, 0), "PNG (ISO/IEC 15948), IHDR: bit depth 16, greyscale");
        let read = image::load_from_memory(&file).unwrap();
        assert_eq!(read.as_luma16().unwrap().as_raw(), &map.values);
    }
}
