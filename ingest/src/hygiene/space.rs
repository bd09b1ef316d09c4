//! Room on the disk, known without asking each time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long an answer of the file system holds.
const ANSWER_HOLDS: Duration = Duration::from_secs(1);

/// How much may still be written; cheap to clone.
#[derive(Debug, Clone)]
pub struct Space(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    watermark_bytes: u64,
    folders: Vec<PathBuf>,
    /// When the file systems were asked, and how many bytes the fullest had free.
    seen: Mutex<Option<(Instant, u64)>>,
    /// Bytes let in since.
    taken: AtomicU64,
}

impl Space {
    /// Room down to `watermark_bytes` on each of the disks of `folders`; 0 asks for nothing.
    pub fn new(watermark_bytes: u64, folders: Vec<PathBuf>) -> Self {
        Self(Arc::new(Inner { watermark_bytes, folders, seen: Mutex::new(None), taken: AtomicU64::new(0) }))
    }

    /// Whether `bytes` more leave the watermark free; they count as written until the disk is asked again, which
    /// is after a second at the latest.
    pub fn has_room(&self, bytes: u64) -> bool {
        let inner = &*self.0;
        if inner.watermark_bytes == 0 || inner.folders.is_empty() {
            return true;
        }
        let free = {
            let mut seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
            match *seen {
                Some((at, free)) if at.elapsed() < ANSWER_HOLDS => free,
                _ => {
                    let free = inner.folders.iter().filter_map(|folder| free_bytes(folder)).min();
                    let free = free.unwrap_or(u64::MAX);
                    inner.taken.store(0, Ordering::Relaxed);
                    *seen = Some((Instant::now(), free));
                    free
                }
            }
        };
        let taken = inner.taken.load(Ordering::Relaxed).saturating_add(bytes);
        let is_free = free.saturating_sub(taken) >= inner.watermark_bytes;
        if is_free {
            inner.taken.fetch_add(bytes, Ordering::Relaxed);
        }
        is_free
    }
}

/// Bytes that who is not root may still write on the disk of `folder`; `None` where it does not say.
fn free_bytes(folder: &Path) -> Option<u64> {
    let answer = rustix::fs::statvfs(folder).ok()?;
    Some(answer.f_bavail.saturating_mul(answer.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_at_the_watermark_and_what_was_let_in_counts() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(folder.path()).unwrap();
        let here = vec![folder.path().to_owned()];
        assert!(Space::new(0, here.clone()).has_room(u64::MAX), "no watermark");
        assert!(!Space::new(u64::MAX, here.clone()).has_room(0));
        let half = Space::new(free / 2, here.clone());
        assert!(half.has_room(free / 3));
        assert!(!half.has_room(free / 3), "the first is on its way to the disk");
        assert!(half.has_room(0));
        std::thread::sleep(ANSWER_HOLDS);
        assert!(half.has_room(free / 3), "the disk was asked again, and nothing was written");
        assert!(Space::new(1, vec!["/nowhere/at/all".into()]).has_room(1), "who cannot say refuses nothing");
    }
}
