//! Reads one image with the networks at hand: the bytes in, an outcome a network out.
//!
//! The same for a job of the worker and for `medilink analyze`; it blocks, so
//! a server calls it through `spawn_blocking`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use anyhow::{Result, bail};
use bytes::Bytes;
use clinical::imaging::{
    Abstention, AbstentionCode, DecodeRequest, Frame, FrameSelection, ImageContext, Outcome,
};
use inference::{Analyzed, InferenceError, Network, Summary};
use ingest::part10::{self, Part10, Part10Error};
use ingest::pixels::{self, DecodePool, PixelError, PixelLimits};
use models::{Card, Eligibility, ReferenceError, ReferenceVectors, Registry, Task};

use crate::loader::{LoadError, Loader};

/// The networks, loaded when first needed, and the means to decode for them.
pub struct Reader {
    /// The networks that are always there.
    own: Registry,
    held: RwLock<Held>,
    loader: Loader,
    pool: Arc<DecodePool>,
    pixel_limits: PixelLimits,
    part10_limits: part10::Limits,
    frames_per_instance: u32,
}

/// The networks at hand now.
#[derive(Clone)]
struct Held {
    registry: Arc<Registry>,
    places: Vec<Arc<Place>>,
}

impl Held {
    /// Those that are always there and those that were added; a network that was at hand before stays loaded.
    fn of(own: &Registry, added: &[Added], before: &[Arc<Place>]) -> Self {
        let files = added.iter().map(|added| (added.card.clone(), added.weights.clone()));
        let registry = own.clone().with_stored(files);
        let place = |card: &Card| {
            let known = before.iter().find(|place| place.card == *card);
            let given = || added.iter().find(|added| added.card == *card)?.reference.clone();
            known.map_or_else(|| Arc::new(Place::of(card, given())), Arc::clone)
        };
        Self { places: registry.iter().map(place).collect(), registry: Arc::new(registry) }
    }
}

/// A network that was added to those that are always there.
#[derive(Debug, Clone)]
pub struct Added {
    /// Its card.
    pub card: Card,
    /// The file of its weights.
    pub weights: PathBuf,
    /// What it must answer, as it was given with it.
    pub reference: Option<Arc<ReferenceVectors>>,
}

/// A card, and its network once it was needed.
struct Place {
    card: Card,
    /// What was given with the network; the box has that of its own.
    reference: Option<Arc<ReferenceVectors>>,
    /// Held while the network is being loaded, so that it proves itself once.
    loading: Mutex<()>,
    network: OnceLock<Arc<Network>>,
    /// Why the network is not asked any more.
    illness: OnceLock<String>,
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
    /// The mean brightness of what the network was shown, 0.0 to 1.0; `None` where it was shown nothing.
    pub brightness: Option<f32>,
    /// How long decoding and the network took.
    pub duration_ms: f64,
    /// Whether the network was run although its card does not fit the image.
    pub is_forced: bool,
}

/// Which networks are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Asked {
    /// All that are active.
    #[default]
    Active,
    /// These, whatever their state.
    Named(Vec<String>),
    /// These versions of them, by name and version.
    These(Vec<(String, String)>),
    /// These, whatever their state and whatever the image is of: for evaluation only.
    Forced(Vec<String>),
}

impl Asked {
    /// Those that are asked by name.
    fn names(&self) -> &[String] {
        match self {
            Self::Active | Self::These(_) => &[],
            Self::Named(names) | Self::Forced(names) => names,
        }
    }
}

impl Reader {
    /// A reader over `registry`; no network is loaded yet.
    pub fn new(
        registry: Registry,
        loader: Loader,
        pool: Arc<DecodePool>,
        pixel_limits: PixelLimits,
        part10_limits: part10::Limits,
        frames_per_instance: u32,
    ) -> Self {
        let held = RwLock::new(Held::of(&registry, &[], &[]));
        Self { own: registry, held, loader, pool, pixel_limits, part10_limits, frames_per_instance }
    }

    /// The networks at hand.
    pub fn registry(&self) -> Arc<Registry> {
        self.held().registry
    }

    /// Holds these networks beside those that are always there; others that it held are let go of once nobody runs
    /// them.
    pub fn hold(&self, added: &[Added]) {
        let own = self.own.iter().count();
        let is_known = |held: &Held| held.registry.iter().skip(own).eq(added.iter().map(|added| &added.card));
        if is_known(&self.held()) {
            return;
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        *held = Held::of(&self.own, added, &held.places);
    }

    /// What a network at hand must answer: as it was given with it, else as the box says; `None` where nobody says.
    ///
    /// # Errors
    ///
    /// As [`ReferenceVectors::of`].
    pub fn reference(&self, card: &Card) -> Result<Option<Arc<ReferenceVectors>>, ReferenceError> {
        match self.place(card).and_then(|place| place.reference.clone()) {
            Some(given) => Ok(Some(given)),
            None => Ok(ReferenceVectors::of(card)?.map(Arc::new)),
        }
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What makes networks ready.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// The names of the runtimes that have been used, each once.
    pub fn backends(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> =
            self.held().places.iter().filter_map(|place| Some(place.network.get()?.backend())).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The processes that decode.
    pub fn pool(&self) -> &Arc<DecodePool> {
        &self.pool
    }

    /// Checks that every name asked for is a network.
    pub fn check(&self, asked: &Asked) -> Result<()> {
        let registry = self.registry();
        for name in asked.names() {
            if registry.get(name).is_none() {
                let known: Vec<_> = registry.iter().map(|card| card.name.as_str()).collect();
                bail!("there is no network {name:?}; known are {}", known.join(", "));
            }
        }
        Ok(())
    }

    /// The object of a file.
    ///
    /// # Errors
    ///
    /// [`Part10Error`] for bytes that are no whole DICOM file.
    pub fn object(&self, bytes: Bytes) -> Result<Part10, Part10Error> {
        Part10::read(bytes, &self.part10_limits)
    }

    /// Frames of an object for a network, each of them counted.
    ///
    /// # Errors
    ///
    /// As [`pixels::decode`].
    pub fn decode(&self, object: &Part10, request: &DecodeRequest) -> Result<Vec<Frame>, PixelError> {
        let frames = pixels::decode(object, request, &self.pixel_limits, &self.pool)?;
        metrics::counter!("network_frames_decoded_total").increment(frames.len() as u64);
        Ok(frames)
    }

    /// What the networks asked that take single images say of one: never empty where none of those asked takes whole
    /// series, for an image that none fits has an abstention.
    pub fn read(&self, object: &Part10, asked: &Asked) -> Result<Vec<Reading>, ReadError> {
        let image = pixels::image_context(object.header());
        let started = Instant::now();
        if object.pixel_data().is_none() {
            let (code, reason) = match object.float_pixels() {
                Some(_) => (AbstentionCode::NotDecodable, "no network reads floating-point pixels"),
                None => (AbstentionCode::NoPixels, "the object holds no pixels"),
            };
            return Ok(vec![Reading::abstained(None, code, reason, started)]);
        }
        let mut readings = Vec::new();
        let mut decoded: Option<(DecodeRequest, Result<Vec<Frame>, PixelError>)> = None;
        let registry = self.registry();
        let mut is_slice = false;
        for card in cards(&registry, asked) {
            let started = Instant::now();
            let is_forced = match Fit::of(card, &image, asked) {
                Fit::Eligible => false,
                Fit::Forced => true,
                Fit::NotAsked => continue,
                Fit::Ineligible(reason) => {
                    let code = AbstentionCode::NotEligible;
                    readings.push(Reading::abstained(Some(card), code, reason, started));
                    continue;
                }
            };
            if card.task == Task::Segmentation3d {
                is_slice = true;
                continue;
            }
            let network = match self.network(card) {
                Ok(network) => network,
                Err(NetworkError::Unhealthy(reason)) => {
                    let code = AbstentionCode::NetworkUnhealthy;
                    readings.push(Reading::abstained(Some(card), code, reason, started));
                    continue;
                }
                Err(NetworkError::NotReady(error)) => return Err(ReadError::Network(error)),
            };
            let request = self.bounded(network.decode_request(), object.frame_count());
            if decoded.as_ref().is_none_or(|(done, _)| *done != request) {
                let frames = self.decode(object, &request);
                decoded = Some((request, frames));
            }
            let Analyzed { outcome, brightness } = match decoded.as_ref().map(|(_, frames)| frames) {
                Some(Ok(frames)) => self.analyzed(&network, frames, &image, is_forced)?,
                Some(Err(error)) => {
                    let reason = format!("{}: {error}", error.code());
                    let outcome =
                        Outcome::Abstained(Abstention { code: AbstentionCode::NotDecodable, reason });
                    Analyzed { outcome, brightness: None }
                }
                None => continue,
            };
            readings.push(Reading {
                summary: Summary::of(card, &outcome),
                outcome,
                network: Some(card.clone()),
                brightness,
                duration_ms: milliseconds(started),
                is_forced,
            });
        }
        if readings.is_empty() && !is_slice {
            let modality = image.modality.as_deref().unwrap_or("none");
            let reason = format!("no network asked is meant for modality {modality}");
            readings.push(Reading::abstained(None, AbstentionCode::NoNetwork, reason, started));
        }
        Ok(readings)
    }

    /// The networks asked that take this image with the others of its series, and whether only because they are forced to.
    pub fn of_series(&self, object: &Part10, asked: &Asked) -> Vec<(Card, bool)> {
        if object.pixel_data().is_none() {
            return Vec::new();
        }
        let (image, registry) = (pixels::image_context(object.header()), self.registry());
        let taken = |card: &Card| match Fit::of(card, &image, asked) {
            Fit::Eligible => Some((card.clone(), false)),
            Fit::Forced => Some((card.clone(), true)),
            Fit::Ineligible(_) | Fit::NotAsked => None,
        };
        let cards = cards(&registry, asked).into_iter();
        cards.filter(|card| card.task == Task::Segmentation3d).filter_map(taken).collect()
    }

    /// What the network sees; one that answers what is no probability is not asked again.
    fn analyzed(
        &self,
        network: &Network,
        frames: &[Frame],
        image: &ImageContext,
        is_forced: bool,
    ) -> Result<Analyzed, ReadError> {
        let seen = if is_forced {
            inference::analyze_forced(network, frames)
        } else {
            inference::analyze(network, frames, image)
        };
        match seen {
            Ok(analyzed) => Ok(analyzed),
            Err(
                error @ (InferenceError::NotFinite(_)
                | InferenceError::NotProbabilities(_)
                | InferenceError::OutputShape { .. }),
            ) => {
                let reason = error.to_string();
                if let Some(place) = self.place(network.card()) {
                    place.falls_ill(&reason);
                }
                let abstention = Abstention { code: AbstentionCode::NetworkUnhealthy, reason };
                Ok(Analyzed { outcome: Outcome::Abstained(abstention), brightness: None })
            }
            Err(error) => Err(ReadError::Network(error.into())),
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

    fn place(&self, card: &Card) -> Option<Arc<Place>> {
        let is_it = |place: &&Arc<Place>| place.card.name == card.name && place.card.version == card.version;
        self.held().places.iter().find(is_it).map(Arc::clone)
    }

    /// The network of a card, loaded when it was not.
    ///
    /// # Errors
    ///
    /// [`NetworkError`]
    pub fn network(&self, card: &Card) -> Result<Arc<Network>, NetworkError> {
        let place = self
            .place(card)
            .ok_or_else(|| NetworkError::NotReady(anyhow::anyhow!("{} is not at hand", card.title())))?;
        let ready = || match (place.illness.get(), place.network.get()) {
            (Some(illness), _) => Some(Err(NetworkError::Unhealthy(illness.clone()))),
            (None, Some(network)) => Some(Ok(Arc::clone(network))),
            (None, None) => None,
        };
        if let Some(ready) = ready() {
            return ready;
        }
        let _loading = place.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = ready() {
            return ready;
        }
        let weights = self.registry().weights(card).map_err(|error| NetworkError::NotReady(error.into()))?;
        let loaded = match self.reference(card) {
            Ok(reference) => self.loader.load(card, &weights, reference.as_deref()),
            Err(error) => Err(error.into()),
        };
        match loaded {
            Ok(network) => Ok(Arc::clone(place.network.get_or_init(|| Arc::new(network)))),
            Err(LoadError::Unfit { reason, .. }) => {
                place.falls_ill(&reason);
                Err(NetworkError::Unhealthy(reason))
            }
            Err(error @ LoadError::NotTried(_)) => Err(NetworkError::NotReady(error.into())),
        }
    }
}

/// Whether a network is asked about an image.
enum Fit {
    Eligible,
    /// Its card does not fit.
    Forced,
    Ineligible(String),
    /// It is meant for other modalities.
    NotAsked,
}

impl Fit {
    fn of(card: &Card, image: &ImageContext, asked: &Asked) -> Self {
        match (card.eligibility(image), asked) {
            (Eligibility::Eligible, _) => Self::Eligible,
            (_, Asked::Forced(_)) => Self::Forced,
            (Eligibility::NotForModality, _) => Self::NotAsked,
            (Eligibility::Ineligible { reasons }, _) => Self::Ineligible(reasons.join("; ")),
        }
    }
}

/// The cards that are meant by what is asked.
fn cards<'r>(registry: &'r Registry, asked: &Asked) -> Vec<&'r Card> {
    match asked {
        Asked::Active => registry.active().collect(),
        Asked::Named(names) | Asked::Forced(names) => {
            names.iter().filter_map(|name| registry.get(name)).collect()
        }
        Asked::These(versions) => {
            versions.iter().filter_map(|(name, version)| registry.get_version(name, version)).collect()
        }
    }
}

impl Place {
    fn of(card: &Card, reference: Option<Arc<ReferenceVectors>>) -> Self {
        Self {
            card: card.clone(),
            reference,
            loading: Mutex::default(),
            network: OnceLock::new(),
            illness: OnceLock::new(),
        }
    }

    /// Asks the network no more, until this program starts anew.
    fn falls_ill(&self, reason: &str) {
        if self.illness.set(reason.to_owned()).is_ok() {
            let (name, version) = (self.card.name.clone(), self.card.version.clone());
            tracing::error!(
                network = self.card.title(),
                reason,
                "a network is unhealthy and is asked no more"
            );
            metrics::gauge!("medilink_network_unhealthy", "network" => name, "version" => version).set(1.0);
        }
    }
}

/// Why there is no network to ask.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It has not proved itself, or has answered what is no probability.
    #[error("the network is unhealthy: {0}")]
    Unhealthy(String),
    /// Its weights or its runtime are not there.
    #[error("{0:#}")]
    NotReady(anyhow::Error),
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
            brightness: None,
            duration_ms: milliseconds(started),
            is_forced: false,
        }
    }
}

fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
