//! Reference vectors: images and what a network must answer to them, by an independent runtime.

use serde::Deserialize;

use crate::Card;

/// One image and its probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceVector {
    /// The class that the data give the image.
    pub class: String,
    /// 8-bit grey in row order.
    pub image: Vec<u8>,
    /// What the network must answer, by class.
    pub probabilities: Vec<f32>,
}

/// The reference vectors of one network.
#[derive(Debug, Clone, PartialEq)]
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
                return Self::join(text, images).map(Some);
            }
        }
        Ok(None)
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
