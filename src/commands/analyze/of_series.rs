//! Series among the files, for networks that take slices together.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clinical::imaging::AbstentionCode;
use dicom_dictionary_std::tags;
use ingest::part10::Part10;
use models::Card;
use serde_json::{Value, json};

use super::{error_line, line};
use crate::inputs::{Buffers, Input};
use crate::reader::{Asked, NetworkError, ReadError, Reader, Reading};
use crate::series::{self, Refusal, Slices};

/// The slices that networks take together, as they are come upon.
#[derive(Default)]
pub struct Gathered {
    /// By network, version and Series Instance UID.
    series: Mutex<BTreeMap<[String; 3], Series>>,
}

struct Series {
    card: Card,
    is_forced: bool,
    slices: Result<Slices, Refusal>,
    /// The files that its slices are in, by their numbers.
    files: Vec<usize>,
}

impl Gathered {
    /// Takes a file's object for each network that wants it with the others of its series.
    pub fn add(&self, reader: &Reader, asked: &Asked, file: usize, object: &Part10) {
        for (card, is_forced) in reader.of_series(object, asked) {
            let uid = object.header().get(tags::SERIES_INSTANCE_UID).and_then(|uid| uid.to_str().ok());
            let uid = uid.map(|uid| uid.trim_matches(['\0', ' ']).to_owned()).unwrap_or_default();
            let key = [card.name.clone(), card.version.clone(), uid];
            let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
            let series = series.entry(key).or_insert_with(|| Series {
                card,
                is_forced,
                slices: Ok(Slices::default()),
                files: Vec::new(),
            });
            series.files.push(file);
            series.is_forced |= is_forced;
            if let Ok(slices) = &mut series.slices
                && let Err(refusal) = slices.add(file, object)
            {
                series.slices = Err(refusal);
            }
        }
    }

    /// A line for each series and network; files are read anew, for no more than one is held at a time.
    pub fn lines<'a>(
        self,
        reader: &'a Reader,
        inputs: &'a [Input],
        limit: u64,
    ) -> impl Iterator<Item = Value> + 'a {
        let series = self.series.into_inner().unwrap_or_else(PoisonError::into_inner);
        series.into_iter().map(move |([_, _, uid], series)| {
            let first = series.files.iter().min().map_or("", |file| inputs[*file].name.as_str());
            let images = series.files.len();
            match series.read(reader, inputs, limit) {
                Ok(reading) => {
                    let mut line = line(first, &reading);
                    line["series"] = json!({ "uid": uid, "images": images });
                    line
                }
                Err(error) => error_line(first, error.code(), &error.to_string()),
            }
        })
    }
}

impl Series {
    fn read(self, reader: &Reader, inputs: &[Input], limit: u64) -> Result<Reading, ReadError> {
        let started = Instant::now();
        let Self { card, is_forced, slices, .. } = self;
        let network = match reader.network(&card) {
            Ok(network) => network,
            Err(NetworkError::Unhealthy(reason)) => {
                let code = AbstentionCode::NetworkUnhealthy;
                return Ok(Reading::abstained(Some(&card), code, reason, started));
            }
            Err(NetworkError::NotReady(error)) => return Err(ReadError::Network(error)),
        };
        let filled = slices.and_then(|slices| {
            let (mut volume, places) = slices.stacked(&card).map_err(|error| series::misfit(&error))?;
            let buffers = Buffers::default();
            for run in series::runs(&places) {
                let unread = |reason: String| (AbstentionCode::NotDecodable, reason);
                let bytes = inputs[run[0].slice].read(limit, &buffers);
                let bytes = bytes.map_err(|error| unread(error.to_string()))?;
                let object = reader.object(bytes).map_err(|error| unread(error.to_string()))?;
                series::push(reader, &object, run, &mut volume)?;
            }
            Ok(volume)
        });
        let said = match filled {
            Ok(volume) => {
                let said = series::segmented(&network, volume);
                said.map_err(|error| ReadError::Network(error.into()))?
            }
            Err(refusal) => Err(refusal),
        };
        Ok(series::reading(&card, said, started, is_forced))
    }
}
