//! How many jobs of each queue run together in one worker.

use anyhow::{Result, bail};
use clinical::job::Queue;
use serde::{Deserialize, Serialize};

/// More of one queue do not run together.
const MOST: usize = 256;

/// In the settings file a table `[queues]`; in the environment `MEDILINK_QUEUES_IMAGING` and so on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queues {
    /// Medical records.
    pub ehr: usize,
    /// E-mail; over at most 20 connections to one mail server.
    pub email: usize,
    /// Word to people and to other programs; webhooks among it.
    pub notification: usize,
    /// Money.
    pub billing: usize,
    /// Reports.
    pub report: usize,
    /// Networks over images: each study spreads over the processors by itself.
    pub imaging: usize,
    /// Calls to other application entities.
    pub dicom: usize,
}

impl Default for Queues {
    fn default() -> Self {
        Self { ehr: 2, email: 20, notification: 8, billing: 2, report: 1, imaging: 1, dicom: 4 }
    }
}

impl Queues {
    /// How many jobs of `queue` run together.
    pub fn of(&self, queue: Queue) -> usize {
        match queue {
            Queue::Ehr => self.ehr,
            Queue::Email => self.email,
            Queue::Notification => self.notification,
            Queue::Billing => self.billing,
            Queue::Report => self.report,
            Queue::Imaging => self.imaging,
            Queue::Dicom => self.dicom,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        for queue in Queue::ALL {
            if !(1..=MOST).contains(&self.of(*queue)) {
                bail!("queues.{} is a whole number from 1 to {MOST}", queue.as_str());
            }
        }
        Ok(())
    }
}
