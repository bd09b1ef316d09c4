//! `medilink demo`: the main job on sample studies, start to finish, and then a service to look around in.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clinical::id::ClinicId;
use ingest::receive::Receipt;
use storage::queue;
use storage::records::analysis::Analysis;
use storage::records::instance::Instance;

use super::serve;
use crate::config::Config;
use crate::samples;
use crate::wiring::House;

/// The longest that the demo waits for its findings.
const PATIENCE: Duration = Duration::from_secs(120);

/// Serves, takes the samples in, shows what was found and where to look, and keeps serving.
pub async fn run(config: Config, environment: &BTreeMap<String, String>) -> Result<()> {
    let config = Config { analyze_after_seconds: config.analyze_after_seconds.min(1), ..config };
    let house = House::open(config, environment).await?;
    let running = serve::start(std::sync::Arc::clone(&house), true).await?;

    let samples = samples::all()?;
    println!("\nTaking in {} sample files of {} studies …", samples.len(), 4);
    let mut instances = Vec::new();
    for (name, bytes) in samples {
        let mut spool = house.receiver.spool();
        spool.write(bytes.into()).await?;
        let receipt = Receipt { file_name: Some(name), ..Receipt::from_sender(ClinicId::DEFAULT) };
        instances.push(house.receiver.receive(receipt, spool).await?.instance_id);
    }
    println!("Analysing …");
    wait_for_findings(&house).await?;

    println!("\n{:<28}  {:<14}  {:>6}  what was found", "file", "network", "ms");
    let mut rows = house.db.read().await?;
    for id in &instances {
        let instance = Instance::find(&mut rows, ClinicId::DEFAULT, *id).await?;
        let analyses = Analysis::of_instance(&mut rows, ClinicId::DEFAULT, *id).await?;
        for analysis in analyses {
            println!(
                "{:<28}  {:<14}  {:>6.1}  {}",
                instance.file_name.as_deref().unwrap_or("-"),
                analysis.network_name,
                analysis.duration_ms,
                found(&analysis)
            );
        }
    }
    let first = instances.first().context("there are samples")?;
    drop(rows);
    let (base, token) = (running.base_url(), running.token());
    println!(
        "\nThe images come from the reference vectors of the network (see models/README.md); the patients are made up."
    );
    println!("A finding is a suggestion: it stays open until a physician has accepted or rejected it.\n");
    println!("Where to look (the token is in {}):", house.config.data_dir.join("token").display());
    println!("  curl -H 'Authorization: Bearer {token}' {base}/api/dicom/analyses");
    println!("  curl -H 'Authorization: Bearer {token}' '{base}/api/findings?state=open'");
    println!("  curl -H 'Authorization: Bearer {token}' {base}/dicom-web/studies");
    println!("  curl -H 'Authorization: Bearer {token}' -F file=@image.dcm {base}/api/dicom/upload");
    println!("  curl -H 'Authorization: Bearer {token}' -X POST {base}/api/dicom/analyze/{first}");
    println!("\nServing until Ctrl-C …");
    running.until_stopped().await
}

async fn wait_for_findings(house: &House) -> Result<()> {
    let all_done = async {
        loop {
            let depth = queue::depth(&mut house.db.read().await?).await?;
            if depth.dead > 0 {
                bail!("an analysis failed for good; medilink doctor tells why");
            }
            if depth.queued + depth.running == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_done).await.context("the analysis takes too long")?
}

fn found(analysis: &Analysis) -> String {
    if let Some(abstention) = &analysis.abstention {
        return format!("abstained: {}", abstention.reason);
    }
    let findings = analysis.findings.iter();
    let labels = findings.map(|finding| format!("{} {:.1} %", finding.label, finding.probability * 100.0));
    labels.collect::<Vec<_>>().join(", ")
}
