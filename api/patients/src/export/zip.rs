//! The ZIP: the FHIR Bundle, each stored file bit for bit (but for a program in its preamble), and what networks saw.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use ::zip::write::{SimpleFileOptions, StreamWriter};
use ::zip::{CompressionMethod, ZipWriter};
use clinical::id::InstanceId;
use futures::StreamExt;
use serde_json::{Value, json};
use storage::records::analysis::Analysis;
use storage::records::finding::Superseded;
use storage::records::instance::{Instance, Version};

use super::bundle::Pages;
use super::{Export, ExportError, Outlet, PAGE};

/// What the ZIP's writer has written and nobody has sent yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A ZIP on its way.
struct Zip<'a> {
    writer: ZipWriter<StreamWriter<Written>>,
    written: Written,
    outlet: &'a Outlet,
}

impl Zip<'_> {
    fn begin(&mut self, name: &str, method: CompressionMethod) -> Result<(), ExportError> {
        // Nobody knows the size before; above 4 GiB the long form is needed.
        let options = SimpleFileOptions::default().compression_method(method).large_file(true);
        Ok(self.writer.start_file(name, options)?)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.writer.write_all(bytes)?;
        self.send().await
    }

    async fn send(&self) -> Result<(), ExportError> {
        let piece = std::mem::take(&mut *self.written.0.lock().unwrap_or_else(PoisonError::into_inner));
        if piece.is_empty() { Ok(()) } else { self.outlet.send(piece).await }
    }

    async fn file(&mut self, export: &Export, name: &str, blob_key: &str) -> Result<(), ExportError> {
        // Images are compressed already, or shall stay what a viewer reads in place.
        self.begin(name, CompressionMethod::Stored)?;
        let mut bytes = export.app.archive.stream_out(blob_key).await?;
        while let Some(piece) = bytes.next().await {
            self.write(&piece?).await?;
        }
        Ok(())
    }
}

/// Sends the ZIP as it is written.
pub(super) async fn send(export: &Export, outlet: &Outlet) -> Result<(), ExportError> {
    let written = Written::default();
    let mut zip = Zip { writer: ZipWriter::new_stream(written.clone()), written, outlet };
    zip.begin("fhir/bundle.json", CompressionMethod::Deflated)?;
    let mut pages = Pages::of(export);
    while let Some(text) = pages.next().await? {
        zip.write(text.as_bytes()).await?;
    }
    let mut after = None;
    while let Some(page) = instances(export, &mut after).await? {
        for instance in page {
            send_instance(export, &mut zip, &instance).await?;
        }
    }
    if export.with_analyses {
        send_analyses(export, &mut zip).await?;
    }
    let Zip { writer, written, outlet } = zip;
    writer.finish()?;
    let rest = std::mem::take(&mut *written.0.lock().unwrap_or_else(PoisonError::into_inner));
    outlet.send(rest).await
}

async fn send_analyses(export: &Export, zip: &mut Zip<'_>) -> Result<(), ExportError> {
    zip.begin("analyses.ndjson", CompressionMethod::Deflated)?;
    let mut after = None;
    while let Some(page) = instances(export, &mut after).await? {
        for instance in page {
            let mut rows = export.app.db.of(export.clinic).read().await?;
            let analyses =
                Analysis::of_instance(&mut rows, export.clinic, instance.instance_id, Superseded::Listed)
                    .await?;
            drop(rows);
            for analysis in analyses {
                zip.write(format!("{}\n", line(&analysis)).as_bytes()).await?;
            }
        }
    }
    Ok(())
}

/// The next page of the patient's instances, newest first; `None` behind the last.
async fn instances(
    export: &Export,
    after: &mut Option<InstanceId>,
) -> Result<Option<Vec<Instance>>, ExportError> {
    let mut rows = export.app.db.of(export.clinic).read().await?;
    let page = Instance::of_patient(&mut rows, export.clinic, export.patient, *after, PAGE).await?;
    *after = page.last().map(|last| last.instance_id);
    Ok(after.is_some().then_some(page))
}

/// The instance's bytes, and those that are kept beside them.
async fn send_instance(export: &Export, zip: &mut Zip<'_>, instance: &Instance) -> Result<(), ExportError> {
    let folder = format!("dicom/{}/{}/{}", instance.study_uid, instance.series_uid, instance.sop_uid);
    zip.file(export, &format!("{folder}.dcm"), &instance.blob_key).await?;
    let mut rows = export.app.db.of(export.clinic).read().await?;
    let versions = Version::of(&mut rows, export.clinic, instance.instance_id).await?;
    drop(rows);
    for version in versions {
        zip.file(export, &format!("{folder}.{}.dcm", version.version_id), &version.blob_key).await?;
    }
    if export.with_analyses {
        send_maps(export, zip, instance, &folder).await?;
    }
    Ok(())
}

/// The maps of what counted for the instance's findings, and its frames tinted by them.
async fn send_maps(
    export: &Export,
    zip: &mut Zip<'_>,
    instance: &Instance,
    folder: &str,
) -> Result<(), ExportError> {
    let mut rows = export.app.db.of(export.clinic).read().await?;
    let analyses =
        Analysis::of_instance(&mut rows, export.clinic, instance.instance_id, Superseded::Listed).await?;
    drop(rows);
    for finding in analyses.iter().flat_map(|analysis| &analysis.findings) {
        for (key, what) in [(&finding.saliency_key, "saliency"), (&finding.overlay_key, "overlay")] {
            if let Some(key) = key {
                zip.file(export, &format!("{folder}.{}.{what}.png", finding.finding_id), key).await?;
            }
        }
    }
    Ok(())
}

fn line(analysis: &Analysis) -> Value {
    let findings: Vec<Value> = analysis
        .findings
        .iter()
        .map(|finding| {
            json!({
                "label": finding.label,
                "meaning": finding.meaning,
                "probability": finding.probability,
                "threshold": finding.threshold,
                "frame": finding.frame,
                "reviewState": finding.review_state,
                "reviewedAt": finding.reviewed_at,
                "comment": finding.comment,
            })
        })
        .collect();
    json!({
        "sopInstanceUid": analysis.sop_uid.to_string(),
        "network": analysis.network_name,
        "version": analysis.network_version,
        "analyzedAt": analysis.analyzed_at,
        "findingsText": analysis.findings_text,
        "recommendations": analysis.recommendations,
        "findings": findings,
    })
}
