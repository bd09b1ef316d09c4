//! Reads one image with the networks at hand: the bytes in, an outcome a network out.
//!
//! The same for a job of the worker and for `medilink analyze`; it blocks, so
//! a server calls it through `spawn_blocking`.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clinical::imaging::{
    Abstention, AbstentionCode, DecodeRequest, Frame, FrameSelection, ImageContext, Outcome,
};
use inference::{Network, Summary, TractBackend};
use ingest::part10::{self, Part10, Part10Error};
use ingest::pixels::{self, DecodePool, PixelError, PixelLimits};
use models::{Card, Eligibility, Registry};

/// The networks, loaded when first needed, and the means to decode for them.
pub struct Reader {
    registry: Registry,
    loaded: Vec<(Card, OnceLock<Arc<Network>>)>,
    pool: Arc<DecodePool>,
    pixel_limits: PixelLimits,
    part10_limits: part10::Limits,
    frames_per_instance: u32,
}

/// One network's word on one image.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The network; `None` when there is none for the modality.
    pub network: Option<Card>,
    /// Labels, or an abstention.
    pub outcome: Outcome,
    /// The outcome for people.
    pub summary: Summary,
    /// How long decoding and the network took.
    pub duration_ms: f64,
}

/// Which networks are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Asked {
    /// All that are active.
    #[default]
    Active,
    /// These, whatever their state.
    Named(Vec<String>),
}

impl Reader {
    /// A reader over `registry`; no network is loaded yet.
    pub fn new(
        registry: Registry,
        pool: Arc<DecodePool>,
        pixel_limits: PixelLimits,
        part10_limits: part10::Limits,
        frames_per_instance: u32,
    ) -> Self {
        let loaded = registry.iter().map(|card| (card.clone(), OnceLock::new())).collect();
        Self { registry, loaded, pool, pixel_limits, part10_limits, frames_per_instance }
    }

    /// The networks at hand.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The processes that decode.
    pub fn pool(&self) -> &Arc<DecodePool> {
        &self.pool
    }

    /// The active networks that are meant for the modality, by the hash of their weights.
    pub fn meant_for(&self, modality: Option<&str>) -> Vec<&str> {
        let image = ImageContext { modality: modality.map(str::to_owned), ..ImageContext::default() };
        let is_meant = |card: &&Card| card.eligibility(&image) != Eligibility::NotForModality;
        self.registry.active().filter(is_meant).map(|card| card.sha256.as_str()).collect()
    }

    /// Checks that every name asked for is a network.
    pub fn check(&self, asked: &Asked) -> Result<()> {
        let Asked::Named(names) = asked else { return Ok(()) };
        for name in names {
            if self.registry.get(name).is_none() {
                let known: Vec<_> = self.registry.iter().map(|card| card.name.as_str()).collect();
                bail!("there is no network {name:?}; known are {}", known.join(", "));
            }
        }
        Ok(())
    }

    /// What the networks asked say of one image: never empty, for an image that none fits has an abstention.
    pub fn read(&self, bytes: Bytes, asked: &Asked) -> Result<Vec<Reading>, ReadError> {
        let object = Part10::read(bytes, &self.part10_limits)?;
        let image = pixels::image_context(object.header());
        let started = Instant::now();
        if object.pixel_data().is_none() {
            return Ok(vec![Reading::abstained(
                None,
                AbstentionCode::NoPixels,
                "the object holds no pixels",
                started,
            )]);
        }
        let mut readings = Vec::new();
        let mut decoded: Option<(DecodeRequest, Result<Vec<Frame>, PixelError>)> = None;
        for card in self.cards(asked) {
            let started = Instant::now();
            match card.eligibility(&image) {
                Eligibility::NotForModality => continue,
                Eligibility::Ineligible { reasons } => {
                    let reason = reasons.join("; ");
                    readings.push(Reading::abstained(
                        Some(card),
                        AbstentionCode::NotEligible,
                        reason,
                        started,
                    ));
                    continue;
                }
                Eligibility::Eligible => {}
            }
            let network = self.network(card)?;
            let request = self.bounded(network.decode_request(), object.frame_count());
            if decoded.as_ref().is_none_or(|(done, _)| *done != request) {
                let frames = pixels::decode(&object, &request, &self.pixel_limits, &self.pool);
                decoded = Some((request, frames));
            }
            let frames = decoded.as_ref().map(|(_, frames)| frames);
            let outcome = match frames {
                Some(Ok(frames)) => inference::analyze(&network, frames, &image)
                    .map_err(|error| ReadError::Network(error.into()))?,
                Some(Err(error)) => Outcome::Abstained(Abstention {
                    code: AbstentionCode::NotDecodable,
                    reason: format!("{}: {error}", error.code()),
                }),
                None => continue,
            };
            readings.push(Reading {
                summary: Summary::of(card, &outcome),
                outcome,
                network: Some(card.clone()),
                duration_ms: milliseconds(started),
            });
        }
        if readings.is_empty() {
            let modality = image.modality.as_deref().unwrap_or("none");
            let reason = format!("no network asked is meant for modality {modality}");
            readings.push(Reading::abstained(None, AbstentionCode::NoNetwork, reason, started));
        }
        Ok(readings)
    }

    fn cards(&self, asked: &Asked) -> Vec<&Card> {
        match asked {
            Asked::Active => self.registry.active().collect(),
            Asked::Named(names) => names.iter().filter_map(|name| self.registry.get(name)).collect(),
        }
    }

    /// Frames of a very long instance are thinned out evenly.
    fn bounded(&self, request: DecodeRequest, frame_count: u32) -> DecodeRequest {
        match request.frames {
            FrameSelection::All if frame_count > self.frames_per_instance => {
                DecodeRequest { frames: FrameSelection::Spread(self.frames_per_instance), ..request }
            }
            _ => request,
        }
    }

    /// The network of a card, loaded when it was not.
    pub fn network(&self, card: &Card) -> Result<Arc<Network>, ReadError> {
        let place =
            self.loaded.iter().find(|(known, _)| known.sha256 == card.sha256 && known.name == card.name);
        let load = || {
            let weights = self.registry.weights(card)?;
            Network::load(&TractBackend, card, &weights).context("the network does not load")
        };
        let Some((_, loaded)) = place else {
            return Err(ReadError::Network(anyhow::anyhow!("{} is not at hand", card.title())));
        };
        if let Some(network) = loaded.get() {
            return Ok(Arc::clone(network));
        }
        let network = Arc::new(load().map_err(ReadError::Network)?);
        // Two may load at once; both have the same network, and one of them is kept.
        Ok(Arc::clone(loaded.get_or_init(|| network)))
    }
}

/// Why an image was not read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are no whole DICOM file.
    #[error(transparent)]
    File(#[from] Part10Error),
    /// A network failed, which is no word on the image.
    #[error("{0:#}")]
    Network(anyhow::Error),
}

impl ReadError {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Network(_) => "network-failed",
        }
    }
}

impl Reading {
    /// A network's refusal, or that of all of them.
    pub fn abstained(
        network: Option<&Card>,
        code: AbstentionCode,
        reason: impl Into<String>,
        started: Instant,
    ) -> Self {
        Self {
            network: network.cloned(),
            outcome: Outcome::Abstained(Abstention { code, reason: reason.into() }),
            summary: Summary::default(),
            duration_ms: milliseconds(started),
        }
    }
}

fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
