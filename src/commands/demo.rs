//! `medilink demo`: the main job on sample studies, start to finish, and then a service to look around in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clinical::id::ClinicId;
use ingest::receive::Receipt;
use storage::queue;
use storage::records::analysis::Analysis;
use storage::records::finding::Superseded;
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
    // A job that died before has nothing to do with the samples.
    let dead_before = queue::depth(&mut house.db.read().await?).await?.dead;
    let running = serve::start(std::sync::Arc::clone(&house), true).await?;

    let samples = samples::all()?;
    println!("\nTaking in {} sample files …", samples.len());
    let (mut instances, mut studies) = (Vec::new(), BTreeSet::new());
    for (name, bytes) in samples {
        let mut spool = house.receiver.spool();
        spool.write(bytes.into()).await?;
        let receipt = Receipt { file_name: Some(name), ..Receipt::from_sender(ClinicId::DEFAULT) };
        let received = house.receiver.receive(receipt, spool).await?;
        instances.push(received.instance_id);
        studies.insert(received.study_uid);
    }
    println!("Analysing {} studies …", studies.len());
    wait_for_findings(&house, dead_before).await?;

    println!("\n{:<28}  {:<14}  {:>6}  what was found", "file", "network", "ms");
    let mut rows = house.db.read().await?;
    for id in &instances {
        let instance = Instance::find(&mut rows, ClinicId::DEFAULT, *id).await?;
        let analyses = Analysis::of_instance(&mut rows, ClinicId::DEFAULT, *id, Superseded::LeftOut).await?;
        for analysis in analyses {
            println!(
                "{:<28}  {:<14}  {:>6.1}  {}",
                instance.file_name.as_deref().unwrap_or("-"),
                network_of(&analysis),
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
    let kept = house.config.data_dir.join("token");
    match house.config.token.as_str() {
        "" => println!("Where to look (the token is in {}):", kept.display()),
        _ => println!("Where to look:"),
    }
    println!("  curl -H 'Authorization: Bearer {token}' {base}/api/dicom/analyses");
    println!("  curl -H 'Authorization: Bearer {token}' '{base}/api/findings?state=open'");
    println!("  curl -H 'Authorization: Bearer {token}' {base}/dicom-web/studies");
    println!("  curl -H 'Authorization: Bearer {token}' -F file=@image.dcm {base}/api/dicom/upload");
    println!("  curl -H 'Authorization: Bearer {token}' -X POST {base}/api/dicom/analyze/{first}");
    println!("\nServing until Ctrl-C …");
    running.until_stopped().await
}

async fn wait_for_findings(house: &House, dead_before: i64) -> Result<()> {
    let all_done = async {
        loop {
            let depth = queue::depth(&mut house.db.read().await?).await?;
            if depth.dead > dead_before {
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

/// An abstention of all networks has none.
fn network_of(analysis: &Analysis) -> &str {
    if analysis.network_sha256.is_empty() { "-" } else { &analysis.network_name }
}

fn found(analysis: &Analysis) -> String {
    if let Some(abstention) = &analysis.abstention {
        return format!("abstained: {}", abstention.reason);
    }
    let findings = analysis.findings.iter();
    let labels = findings.map(|finding| format!("{} {:.1} %", finding.label, finding.probability * 100.0));
    labels.collect::<Vec<_>>().join(", ")
}
