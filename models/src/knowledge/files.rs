//! The files that knowledge lies in: those of the program, or a folder's.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::KnowledgeError;

/// Every file below `knowledge/`, by its name there.
const IN_THE_BOX: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/knowledge_files.rs"));
/// The largest file that is read.
const LARGEST: u64 = 16 << 20;
/// The most files of a folder.
const MOST: usize = 2_000;

/// Text files by their names, in order.
#[derive(Debug)]
pub(crate) struct Files(Vec<(Cow<'static, str>, Cow<'static, str>)>);

impl Files {
    /// Those of the program.
    pub(crate) fn in_the_box() -> Self {
        Self(IN_THE_BOX.iter().map(|&(name, text)| (Cow::Borrowed(name), Cow::Borrowed(text))).collect())
    }

    /// Those of a folder, which has the folders of `knowledge/`.
    pub(crate) fn of(root: &Path) -> Result<Self, KnowledgeError> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let failed = |error| KnowledgeError::File { path: folder.clone(), error };
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let path = entry.path();
                let about = entry.metadata().map_err(failed)?;
                if about.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "toml") {
                    if about.len() > LARGEST || files.len() >= MOST {
                        return Err(KnowledgeError::TooLarge { path });
                    }
                    let name =
                        path.strip_prefix(root).unwrap_or(&path).display().to_string().replace('\\', "/");
                    let text =
                        fs::read_to_string(&path).map_err(|error| KnowledgeError::File { path, error })?;
                    files.push((Cow::Owned(name), Cow::Owned(text)));
                }
            }
        }
        files.sort();
        Ok(Self(files))
    }

    /// Those that are handed over.
    pub(crate) fn from_texts(texts: &[(&str, &str)]) -> Self {
        let owned = |text: &str| Cow::Owned(text.to_owned());
        Self(texts.iter().map(|(name, text)| (owned(name), owned(text))).collect())
    }

    /// Names and texts of those below `folder`.
    pub(crate) fn below(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(move |(name, text)| {
            name.strip_prefix(folder)?.starts_with('/').then_some((name.as_ref(), text.as_ref()))
        })
    }

    /// SHA-256 of all names and texts, in hexadecimal.
    pub(crate) fn version(&self) -> String {
        let mut digest = Sha256::new();
        for (name, text) in &self.0 {
            for part in [name, text] {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part.as_bytes());
            }
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
