//! Reference vectors: images and what a network must answer to them, by an independent runtime.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Card;

/// The most bytes of a file of reference vectors, or of its images.
const MAX_BYTES: u64 = 64 << 20;

/// One image and its probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceVector {
    /// The class that the data give the image.
    pub class: String,
    /// 8-bit grey in row order.
    pub image: Vec<u8>,
    /// What the network must answer, by class.
    pub probabilities: Vec<f32>,
}

/// The reference vectors of one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceVectors {
    /// Rows of each image.
    pub rows: u32,
    /// Columns of each image.
    pub columns: u32,
    /// The runtime that gave the probabilities.
    pub runtime: String,
    /// Whose images they are.
    pub credit: String,
    /// The vectors.
    pub vectors: Vec<ReferenceVector>,
}

/// Why reference vectors do not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Not TOML, or keys other than those asked for.
    #[error("the reference vectors do not read: {0}")]
    Unreadable(String),
    /// The images are not as many or as large as the text says.
    #[error("the reference images hold {found} bytes, the text says {expected}")]
    WrongLength {
        /// By the text.
        expected: usize,
        /// In the file.
        found: usize,
    },
    /// They are of another network, or of images and classes other than the card's.
    #[error("the reference vectors do not fit the card: {0}")]
    Misfit(String),
    /// A file failed.
    #[error("the reference vectors cannot be used: {0}")]
    File(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    network: String,
    version: String,
    rows: u32,
    columns: u32,
    runtime: String,
    credit: String,
    vectors: Vec<Answer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    class: String,
    probabilities: Vec<f32>,
}

const BUILT_IN: [(&str, &[u8]); 3] = [
    (include_str!("../reference/pneumonia224.toml"), include_bytes!("../reference/pneumonia224.u8")),
    (include_str!("../reference/pneumonia28.toml"), include_bytes!("../reference/pneumonia28.u8")),
    (include_str!("../reference/breast28.toml"), include_bytes!("../reference/breast28.u8")),
];

impl ReferenceVectors {
    /// The vectors in the box for this very network, or `None` where there are none.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] never for the box as it was shipped; a test holds that.
    pub fn of(card: &Card) -> Result<Option<Self>, ReferenceError> {
        for (text, images) in BUILT_IN {
            let text: Text =
                toml::from_str(text).map_err(|error| ReferenceError::Unreadable(error.to_string()))?;
            if text.network == card.name && text.version == card.version {
                let reference = Self::join(text, images)?;
                reference.check(card)?;
                return Ok(Some(reference));
            }
        }
        Ok(None)
    }

    /// Those of a file, whose images lie beside it with the ending `u8`, for the network of this card.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`]
    pub fn read(path: &Path, card: &Card) -> Result<Self, ReferenceError> {
        let bytes = |path: &Path| {
            let failed =
                |error: &dyn std::fmt::Display| ReferenceError::File(format!("{}: {error}", path.display()));
            let length = fs::metadata(path).map_err(|error| failed(&error))?.len();
            if length > MAX_BYTES {
                return Err(failed(&format!("larger than {MAX_BYTES} bytes")));
            }
            fs::read(path).map_err(|error| failed(&error))
        };
        let text = String::from_utf8(bytes(path)?)
            .map_err(|_| ReferenceError::Unreadable("they are UTF-8 text".to_owned()))?;
        let text: Text =
            toml::from_str(&text).map_err(|error| ReferenceError::Unreadable(error.to_string()))?;
        if text.network != card.name || text.version != card.version {
            return Err(ReferenceError::Misfit(format!("they are of {} {}", text.network, text.version)));
        }
        let reference = Self::join(text, &bytes(&path.with_extension("u8"))?)?;
        reference.check(card)?;
        Ok(reference)
    }

    /// Whether they can be those of the card's network.
    ///
    /// # Errors
    ///
    /// [`ReferenceError::Misfit`], [`ReferenceError::WrongLength`]
    pub fn check(&self, card: &Card) -> Result<(), ReferenceError> {
        let (rows, columns) = (card.input.rows(), card.input.columns());
        if (self.rows as usize, self.columns as usize) != (rows, columns) {
            let Self { rows: high, columns: wide, .. } = self;
            return Err(ReferenceError::Misfit(format!(
                "they are {high} by {wide}, the input is {rows} by {columns}"
            )));
        }
        if self.vectors.is_empty() {
            return Err(ReferenceError::Misfit("there are none, so nothing can agree with them".to_owned()));
        }
        for vector in &self.vectors {
            let (expected, found) = (rows * columns, vector.image.len());
            if found != expected {
                return Err(ReferenceError::WrongLength { expected, found });
            }
            let (classes, given) = (card.outputs.classes.len(), vector.probabilities.len());
            if given != classes {
                return Err(ReferenceError::Misfit(format!(
                    "they have {given} probabilities, the card has {classes} classes"
                )));
            }
            if let Some(none) = vector.probabilities.iter().find(|it| !(0.0..=1.0).contains(*it)) {
                return Err(ReferenceError::Misfit(format!("{none} is no probability")));
            }
        }
        Ok(())
    }

    fn join(text: Text, images: &[u8]) -> Result<Self, ReferenceError> {
        let Text { rows, columns, runtime, credit, vectors, .. } = text;
        let size = rows as usize * columns as usize;
        let expected = size * vectors.len();
        if size == 0 || expected != images.len() {
            return Err(ReferenceError::WrongLength { expected, found: images.len() });
        }
        let vectors = vectors
            .into_iter()
            .zip(images.chunks_exact(size))
            .map(|(Answer { class, probabilities }, image)| ReferenceVector {
                class,
                image: image.to_vec(),
                probabilities,
            })
            .collect();
        Ok(Self { rows, columns, runtime, credit, vectors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn vectors_of_a_file_are_read_for_their_own_network_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors.toml");
        fs::write(&path, BUILT_IN[1].0).unwrap();
        fs::write(folder.path().join("vectors.u8"), BUILT_IN[1].1).unwrap();
        let registry = Registry::built_in();
        let card = registry.get("pneumonia28").unwrap();
        let read = ReferenceVectors::read(&path, card).unwrap();
        assert_eq!(Some(read), ReferenceVectors::of(card).unwrap());
        let other = registry.get("breast28").unwrap();
        assert!(matches!(ReferenceVectors::read(&path, other), Err(ReferenceError::Misfit(_))));
        fs::write(folder.path().join("vectors.u8"), [0; 9]).unwrap();
        assert!(matches!(ReferenceVectors::read(&path, card), Err(ReferenceError::WrongLength { .. })));
        let wide = registry.get("pneumonia224").unwrap();
        let small = ReferenceVectors::of(card).unwrap().unwrap();
        assert!(matches!(small.check(wide), Err(ReferenceError::Misfit(_))));
    }

    #[test]
    fn vectors_that_nothing_could_contradict_are_refused() {
        let card = Registry::built_in().get("pneumonia28").unwrap().clone();
        let sound = ReferenceVectors::of(&card).unwrap().unwrap();
        let none = ReferenceVectors { vectors: Vec::new(), ..sound.clone() };
        let refused = none.check(&card).unwrap_err().to_string();
        assert!(refused.contains("there are none"), "{refused}");
        for wrong in [f32::NAN, f32::INFINITY, -0.1, 1.1] {
            let mut vectors = sound.clone();
            vectors.vectors[0].probabilities[1] = wrong;
            let refused = vectors.check(&card).unwrap_err().to_string();
            assert!(refused.contains("is no probability"), "{refused}");
        }
    }

    #[test]
    fn every_network_of_the_box_has_reference_vectors_that_fit_its_card() {
        for card in Registry::built_in().iter() {
            let reference =
                ReferenceVectors::of(card).unwrap().expect("the box has vectors for its networks");
            assert_eq!(
                (reference.rows as usize, reference.columns as usize),
                (card.input.rows(), card.input.columns())
            );
            for vector in &reference.vectors {
                assert!(card.outputs.classes.contains(&vector.class), "{}", vector.class);
                assert_eq!(vector.probabilities.len(), card.outputs.classes.len());
            }
        }
    }
}
