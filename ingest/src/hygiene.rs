//! The hall's hygiene: room on the disk, room for a clinic, a scanner, rules of a clinic for what comes in.

pub mod clamd;
mod rules;
mod space;

use std::path::PathBuf;
use std::sync::Arc;

use storage::archive::DataKeys;
use storage::db::Db;
use tokio::sync::Semaphore;

use clamd::ClamdSettings;
pub(crate) use rules::Rules;
pub use space::Space;

/// So many objects are scanned at a time.
const SCANS: usize = 16;

/// How clean the hall is kept; the default asks for nothing.
#[derive(Debug, Clone, Default)]
pub struct HygieneSettings {
    /// So many bytes stay free on the disks of `folders`; 0: down to the last.
    pub disk_watermark_bytes: u64,
    /// Where spool, archive and database lie, as far as they are local.
    pub folders: Vec<PathBuf>,
    /// So many bytes a clinic may keep that has no number of its own; 0: without limit.
    pub clinic_quota_bytes: u64,
    /// Who scans what comes in.
    pub clamd: Option<ClamdSettings>,
    /// From which each clinic's key for pseudonyms is derived; without them no clinic's rule can be kept.
    pub data_keys: Option<DataKeys>,
}

/// The hall's hygiene at work.
pub(crate) struct Hygiene {
    pub(crate) settings: HygieneSettings,
    pub(crate) space: Space,
    pub(crate) rules: Rules,
    /// Scans under way.
    pub(crate) scans: Arc<Semaphore>,
}

impl Hygiene {
    pub(crate) fn new(db: Db, settings: HygieneSettings) -> Self {
        Self {
            space: Space::new(settings.disk_watermark_bytes, settings.folders.clone()),
            rules: Rules::new(db, settings.clinic_quota_bytes),
            scans: Arc::new(Semaphore::new(SCANS)),
            settings,
        }
    }
}
