//! The sealer of the audit trail: chains what was written, and signs where the chains end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clinical::id::ClinicId;
use storage::audit::{Keeper, seal_pending};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::rest;
use crate::wiring::House;

/// How often rows are sealed.
const SEAL: Duration = Duration::from_millis(300);
/// How often the heads are signed at most.
const SIGN: Duration = Duration::from_secs(1);
/// How long a failure is left alone.
const PAUSE: Duration = Duration::from_secs(2);

/// Seals until `stop`, and once more then.
///
/// Every process that serves may run it: the chains do not fork, and each data folder has its own signed heads.
pub async fn seal(house: Arc<House>, stop: CancellationToken) {
    let mut signer = Signer::default();
    loop {
        let is_last = stop.is_cancelled();
        let sealed = seal_pending(&house.db).await;
        if let Err(error) = &sealed {
            error!(error = %format!("{error:#}"), "the audit trail is not sealed");
        }
        signer.sign(&house, is_last).await;
        if is_last {
            return;
        }
        rest(&stop, if sealed.is_ok() { SEAL } else { PAUSE }).await;
    }
}

/// Signs, and says each trouble once for as long as it lasts.
#[derive(Default)]
struct Signer {
    keeper: Option<Keeper>,
    signed_at: Option<Instant>,
    trouble: Option<String>,
}

impl Signer {
    async fn sign(&mut self, house: &House, is_last: bool) {
        if !is_last && self.signed_at.is_some_and(|at| at.elapsed() < SIGN) {
            return;
        }
        self.signed_at = Some(Instant::now());
        let trouble = match self.keep(house).await {
            Ok(cut) if cut.is_empty() => None,
            Ok(cut) => Some(format!("rows are missing that were signed, in the clinics {cut:?}")),
            Err(error) => Some(format!("the heads are not signed: {error:#}")),
        };
        if let Some(trouble) = trouble.as_ref().filter(|trouble| self.trouble.as_ref() != Some(trouble)) {
            error!(trouble, "look at the audit trail with `medilink audit verify`");
        }
        self.trouble = trouble;
    }

    async fn keep(&mut self, house: &House) -> Result<Vec<ClinicId>> {
        let keeper = match self.keeper.take() {
            Some(keeper) => keeper,
            None => Keeper::open(&house.config.data_dir)?,
        };
        let kept = keeper.keep(&house.db, house.clock.now()).await;
        self.keeper = Some(keeper);
        Ok(kept?)
    }
}
