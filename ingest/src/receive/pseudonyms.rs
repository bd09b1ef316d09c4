//! Under which key the objects of a clinic are de-identified when they leave it.

use clinical::id::ClinicId;
use deidentify::Project;

use super::{ReceiveError, Receiver};

/// What a clinic's key for pseudonyms of what leaves it is derived for.
const EXPORTS: &str = "deidentify_on_export";

impl Receiver {
    /// The clinic's project of that name, for objects that leave it: the same for as long as the clinic has its first
    /// data key, and unlike every other name's, every other clinic's, and what stands for patients on receipt.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::NoProject`] where there is no key.
    pub async fn export_project(&self, clinic: ClinicId, name: &str) -> Result<Project, ReceiveError> {
        let keys = self.0.hygiene.settings.data_keys.as_ref().ok_or(ReceiveError::NoProject)?;
        let key = keys.derived(clinic, EXPORTS).await.map_err(|_| ReceiveError::NoProject)?;
        Project::named(&*key, name).map_err(|_| ReceiveError::NoProject)
    }
}
