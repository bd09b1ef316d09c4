//! Every network at hand: those of the box and those of a folder.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::external_data::{self, ExternalDataError};
use crate::{Card, CardError, State};

/// The largest card that is read.
const MAX_CARD_BYTES: u64 = 256 * 1024;
/// The largest weights that are read: an ONNX file cannot be larger (protobuf).
const MAX_WEIGHTS_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// The most cards of a folder.
const MAX_CARDS: usize = 1000;

const BUILT_IN: [(&str, &[u8]); 3] = [
    (include_str!("../cards/pneumonia224.toml"), include_bytes!("../weights/pneumonia224.onnx")),
    (include_str!("../cards/pneumonia28.toml"), include_bytes!("../weights/pneumonia28.onnx")),
    (include_str!("../cards/breast28.toml"), include_bytes!("../weights/breast28.onnx")),
];

/// Why a network is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A card in the folder is none.
    #[error("{path}: {error}")]
    Card {
        /// The file.
        path: PathBuf,
        /// What to mend.
        error: CardError,
    },
    /// A file or folder failed.
    #[error("{path} cannot be used: {error}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is larger than any card or any network.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// A tensor of a network lies in another file, which is not brought in.
    #[error("{path}: {error}")]
    ExternalData {
        /// The network.
        path: PathBuf,
        /// Which tensor, which file, and what to mend.
        error: ExternalDataError,
    },
    /// A folder of more cards than anyone has.
    #[error("{path} holds more than {MAX_CARDS} cards")]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// Two networks of one name and version.
    #[error("there is a network {0} already; give the new one another version")]
    Duplicate(String),
    /// Two active versions of one name in the folder.
    #[error("{0} has two active versions in the folder; set all but one to retired")]
    TwoActive(String),
    /// The card is none of this registry's.
    #[error("there is no network {0}")]
    Unknown(String),
    /// The weights are not those of the card.
    #[error(transparent)]
    Weights(#[from] CardError),
}

impl RegistryError {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Card { error, .. } | Self::Weights(error) => error.code(),
            Self::File { .. } => "file-unreadable",
            Self::TooLarge { .. } => "file-too-large",
            Self::ExternalData { .. } => "external-data",
            Self::TooMany { .. } => "too-many-cards",
            Self::Duplicate(_) => "network-exists",
            Self::TwoActive(_) => "two-active",
            Self::Unknown(_) => "unknown-network",
        }
    }
}

#[derive(Debug, Clone)]
enum Weights {
    InTheBox(&'static [u8]),
    /// Of somebody's folder: files may lie beside it.
    Folder(PathBuf),
    /// A blob that stands alone.
    Stored(PathBuf),
}

#[derive(Debug, Clone)]
struct Entry {
    card: Card,
    weights: Weights,
}

/// A network that asks to be added: read and verified, not yet stored.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its card.
    pub card: Card,
    /// Its weights, with the card's SHA-256.
    pub weights: Vec<u8>,
    /// The card as it was written.
    pub card_text: String,
}

impl Candidate {
    /// Reads a network's weights and card, and verifies the one by the other.
    ///
    /// # Errors
    ///
    /// [`RegistryError`], for a file that cannot be read, a card that is none, or other weights.
    pub fn read(onnx: &Path, card: &Path) -> Result<Self, RegistryError> {
        let (card, card_text) = read_card(card)?;
        let weights = read_network(onnx)?;
        card.verify_weights(&weights)?;
        Ok(Self { card, weights, card_text })
    }
}

/// The networks at hand, each name and version once.
#[derive(Debug, Clone)]
pub struct Registry {
    entries: Vec<Entry>,
}

impl Registry {
    /// The networks of the box.
    pub fn built_in() -> Self {
        let entry = |(text, weights): (&str, &'static [u8])| Entry {
            card: Card::parse(text).expect("a test reads every card of the box"),
            weights: Weights::InTheBox(weights),
        };
        Self { entries: BUILT_IN.into_iter().map(entry).collect() }
    }

    /// Adds the networks of `folder`: every `NAME.toml`, with its weights beside it as `NAME.onnx`.
    ///
    /// A folder that is not there holds none. Weights are read when they are asked for.
    ///
    /// # Errors
    ///
    /// [`RegistryError`], for a card that is none, a name and version that is there already, or two
    /// active versions of one name.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, RegistryError> {
        let from_box = self.entries.len();
        for path in cards_of(folder)? {
            let (card, _) = read_card(&path)?;
            self.refuse_known(&card)?;
            let added = &self.entries[from_box..];
            let is_rival = |entry: &Entry| entry.card.name == card.name && entry.card.state == State::Active;
            if card.state == State::Active && added.iter().any(is_rival) {
                return Err(RegistryError::TwoActive(card.name));
            }
            self.entries.push(Entry { card, weights: Weights::Folder(path.with_extension("onnx")) });
        }
        Ok(self)
    }

    /// Adds networks that are kept elsewhere, whose weights lie in files of their own; one whose name and version
    /// are there already is left out.
    #[must_use]
    pub fn with_stored(mut self, networks: impl IntoIterator<Item = (Card, PathBuf)>) -> Self {
        for (card, weights) in networks {
            if self.refuse_known(&card).is_ok() {
                self.entries.push(Entry { card, weights: Weights::Stored(weights) });
            }
        }
        self
    }

    /// The card that `name` means: the active version, a folder's before the box's, else the last added one.
    pub fn get(&self, name: &str) -> Option<&Card> {
        let versions = || self.iter().rev().filter(|card| card.name == name);
        versions().find(|card| card.state == State::Active).or_else(|| versions().next())
    }

    /// The card of one name and version.
    pub fn get_version(&self, name: &str, version: &str) -> Option<&Card> {
        self.iter().find(|card| card.name == name && card.version == version)
    }

    /// Every card, those of the box first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Card> {
        self.entries.iter().map(|entry| &entry.card)
    }

    /// The cards that are asked about every image, one a name: a folder's active version stands in for the box's.
    pub fn active(&self) -> impl Iterator<Item = &Card> {
        self.iter().filter(|card| {
            card.state == State::Active
                && self.get(&card.name).is_some_and(|chosen| chosen.version == card.version)
        })
    }

    /// The weights of a card of this registry, once their SHA-256 has proved right.
    ///
    /// # Errors
    ///
    /// [`RegistryError`], for weights that are not there, too large, or not those of the card.
    pub fn weights(&self, card: &Card) -> Result<Cow<'static, [u8]>, RegistryError> {
        let is_it = |entry: &&Entry| entry.card.name == card.name && entry.card.version == card.version;
        let entry = self.entries.iter().find(is_it).ok_or_else(|| RegistryError::Unknown(card.title()))?;
        let weights = match &entry.weights {
            Weights::InTheBox(weights) => Cow::Borrowed(*weights),
            Weights::Folder(path) => Cow::Owned(read_network(path)?),
            Weights::Stored(path) => Cow::Owned(read_limited(path, MAX_WEIGHTS_BYTES)?),
        };
        entry.card.verify_weights(&weights)?;
        Ok(weights)
    }

    /// Reads the weights of every network and says of each whether they are those of its card.
    pub fn verify(&self) -> Vec<(&Card, Result<(), RegistryError>)> {
        self.iter().map(|card| (card, self.weights(card).map(drop))).collect()
    }

    /// Copies a network into `folder`, where the next [`Registry::with_folder`] finds it.
    ///
    /// The weights come first and the card last, each whole or not at all, and both are on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Duplicate`] and [`RegistryError::TwoActive`] where the folder would not read any
    /// more; [`RegistryError::File`] where it cannot be written.
    pub fn add(&self, folder: &Path, candidate: &Candidate) -> Result<(), RegistryError> {
        fs::create_dir_all(folder).map_err(|error| file_error(folder, error))?;
        let known = Self::built_in().with_folder(folder)?;
        self.refuse_known(&candidate.card)?;
        known.refuse_known(&candidate.card)?;
        known.refuse_second_active(&candidate.card)?;
        let stem = format!("{}-{}", candidate.card.name, candidate.card.version);
        store(folder, &format!("{stem}.onnx"), &candidate.weights)?;
        store(folder, &format!("{stem}.toml"), candidate.card_text.as_bytes())
    }

    fn refuse_known(&self, card: &Card) -> Result<(), RegistryError> {
        match self.get_version(&card.name, &card.version) {
            Some(_) => Err(RegistryError::Duplicate(card.title())),
            None => Ok(()),
        }
    }

    fn refuse_second_active(&self, card: &Card) -> Result<(), RegistryError> {
        let is_rival = |entry: &Entry| {
            let in_folder = matches!(entry.weights, Weights::Folder(_));
            in_folder && entry.card.name == card.name && entry.card.state == State::Active
        };
        if card.state == State::Active && self.entries.iter().any(is_rival) {
            return Err(RegistryError::TwoActive(card.name.clone()));
        }
        Ok(())
    }
}

/// Writes a file whole or not at all: a temporary one beside it, flushed to disk, then renamed.
///
/// A leftover of an addition that was cut short is replaced: no card names it.
fn store(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), RegistryError> {
    let path = folder.join(name);
    let write = || -> io::Result<()> {
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| file_error(&path, error))
}

/// The cards of a folder in the order of their names.
fn cards_of(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file_error(folder, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| file_error(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
        if paths.len() > MAX_CARDS {
            return Err(RegistryError::TooMany { path: folder.to_owned() });
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_card(path: &Path) -> Result<(Card, String), RegistryError> {
    let bytes = read_limited(path, MAX_CARD_BYTES)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| file_error(path, io::Error::new(io::ErrorKind::InvalidData, "a card is UTF-8 text")))?;
    let card = Card::parse(&text).map_err(|error| RegistryError::Card { path: path.to_owned(), error })?;
    Ok((card, text))
}

/// A network's file, and in it the tensors that it keeps in files beside it, within its own folder.
///
/// The SHA-256 of a card is of what this gives.
///
/// # Errors
///
/// [`RegistryError::File`], [`RegistryError::TooLarge`], [`RegistryError::ExternalData`].
pub fn read_network(path: &Path) -> Result<Vec<u8>, RegistryError> {
    let bytes = read_limited(path, MAX_WEIGHTS_BYTES)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let gathered = external_data::gathered(bytes, folder, MAX_WEIGHTS_BYTES);
    gathered.map_err(|error| RegistryError::ExternalData { path: path.to_owned(), error })
}

fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, RegistryError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| file_error(path, error))?;
    if bytes.len() as u64 > limit {
        return Err(RegistryError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn file_error(path: &Path, error: io::Error) -> RegistryError {
    RegistryError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network of its own name with the small weights, ready to be added.
    fn candidate(from: &Path, version: &str, state: &str) -> Candidate {
        let card = include_str!("../cards/pneumonia28.toml")
            .replacen("name = \"pneumonia28\"", "name = \"other\"", 1)
            .replacen("version = \"1.0.0\"", &format!("version = \"{version}\""), 1)
            .replacen("state = \"draft\"", &format!("state = \"{state}\""), 1);
        fs::write(from.join("card.toml"), card).unwrap();
        fs::write(from.join("weights.onnx"), BUILT_IN[1].1).unwrap();
        Candidate::read(&from.join("weights.onnx"), &from.join("card.toml")).unwrap()
    }

    #[test]
    fn the_box_holds_three_networks_of_which_one_is_active() {
        let registry = Registry::built_in();
        let names: Vec<&str> = registry.iter().map(|card| card.name.as_str()).collect();
        assert_eq!(names, ["pneumonia224", "pneumonia28", "breast28"]);
        let active: Vec<&str> = registry.active().map(|card| card.name.as_str()).collect();
        assert_eq!(active, ["pneumonia224"]);
        for (card, verified) in registry.verify() {
            verified.unwrap_or_else(|error| panic!("{}: {error}", card.name));
        }
    }

    #[test]
    fn an_added_network_is_found_again_with_its_state() {
        let (from, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = folder.path().join("networks");
        Registry::built_in().add(&folder, &candidate(from.path(), "1.0.0", "shadow")).unwrap();
        let registry = Registry::built_in().with_folder(&folder).unwrap();
        let card = registry.get("other").unwrap();
        assert_eq!(card.state, State::Shadow);
        assert_eq!(registry.weights(card).unwrap().as_ref(), BUILT_IN[1].1);
        let mut names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["other-1.0.0.onnx", "other-1.0.0.toml"], "nothing else stays behind");
    }

    #[test]
    fn one_name_and_version_stands_for_one_network() {
        let (from, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let candidate = candidate(from.path(), "1.0.0", "draft");
        Registry::built_in().add(folder.path(), &candidate).unwrap();
        let again = Registry::built_in().add(folder.path(), &candidate).unwrap_err();
        assert_eq!(
            again.to_string(),
            "there is a network other 1.0.0 already; give the new one another version"
        );

        fs::write(folder.path().join("copy.toml"), include_str!("../cards/breast28.toml")).unwrap();
        let of_the_box = Registry::built_in().with_folder(folder.path()).unwrap_err();
        assert!(matches!(of_the_box, RegistryError::Duplicate(name) if name == "breast28 1.0.0"));
    }

    #[test]
    fn the_active_version_is_the_one_meant_and_there_is_but_one() {
        let (from, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let registry = Registry::built_in();
        registry.add(folder.path(), &candidate(from.path(), "1.0.0", "active")).unwrap();
        registry.add(folder.path(), &candidate(from.path(), "2.0.0", "draft")).unwrap();
        let refused = registry.add(folder.path(), &candidate(from.path(), "3.0.0", "active"));
        assert!(matches!(refused, Err(RegistryError::TwoActive(_))));
        let registry = registry.with_folder(folder.path()).unwrap();
        assert_eq!(registry.get("other").unwrap().version, "1.0.0");
        assert_eq!(registry.active().count(), 2);
    }

    #[test]
    fn an_active_network_of_the_folder_stands_in_for_the_one_of_the_box() {
        let folder = tempfile::tempdir().unwrap();
        let newer = include_str!("../cards/pneumonia224.toml").replacen("\"1.0.0\"", "\"1.1.0\"", 1);
        fs::write(folder.path().join("newer.toml"), newer).unwrap();
        let registry = Registry::built_in().with_folder(folder.path()).unwrap();
        let active: Vec<String> = registry.active().map(Card::title).collect();
        assert_eq!(active, ["pneumonia224 1.1.0"]);
    }

    #[test]
    fn other_weights_are_neither_added_nor_given_out() {
        let (from, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Registry::built_in().add(folder.path(), &candidate(from.path(), "1.0.0", "draft")).unwrap();
        fs::write(folder.path().join("other-1.0.0.onnx"), b"something else").unwrap();
        let registry = Registry::built_in().with_folder(folder.path()).unwrap();
        let refused = registry.weights(registry.get("other").unwrap());
        assert!(matches!(refused, Err(RegistryError::Weights(CardError::WrongHash { .. }))));

        fs::write(from.path().join("weights.onnx"), b"something else").unwrap();
        let refused = Candidate::read(&from.path().join("weights.onnx"), &from.path().join("card.toml"));
        assert!(matches!(refused, Err(RegistryError::Weights(CardError::WrongHash { .. }))));
    }

    #[test]
    fn a_folder_that_is_not_there_holds_no_networks() {
        let registry = Registry::built_in().with_folder(Path::new("/no/such/folder")).unwrap();
        assert_eq!(registry.iter().count(), 3);
    }

    #[test]
    fn a_card_that_does_not_read_is_named_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("broken.toml"), "schema = 2\nname = 7").unwrap();
        let message = Registry::built_in().with_folder(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("broken.toml: the card does not read: TOML parse error at line 2"),
            "{message}"
        );
    }
}
