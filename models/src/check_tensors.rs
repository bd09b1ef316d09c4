//! Whether what a card says of tensors can be true.

use std::collections::HashSet;

use crate::check::{CardError, MAX_ENTRIES, ensure};
use crate::{Activation, Calibration, Crop, Input, Luts, Outputs, Precision, Quantise, Resize, Run, Task};

/// The largest side of a network's input, in pixels.
const MAX_SIDE: usize = 4096;
/// The most values of one input.
const MAX_VALUES: usize = 1 << 28;

impl Input {
    /// Refuses an input that no image could become.
    pub(crate) fn check(&self, task: Task) -> Result<(), CardError> {
        let rank = if task == Task::Segmentation3d { 5 } else { 4 };
        ensure(
            self.shape.len() == rank
                && self.shape[0] == 1
                && self.shape[1] == self.channels.count()
                && self.shape[2..].iter().all(|side| (1..=MAX_SIDE).contains(side))
                && self.shape.iter().product::<usize>() <= MAX_VALUES,
            "input.shape",
            match task {
                Task::Segmentation3d => {
                    "must be [1, channels, slices, rows, columns], 1 channel for grey and 3 for rgb, sides 1 to 4096"
                }
                _ => {
                    "must be [1, channels, rows, columns], 1 channel for grey and 3 for rgb, sides 1 to 4096"
                }
            },
        )?;
        let [black, white] = self.value_range;
        ensure(
            black.is_finite() && white.is_finite() && black < white,
            "input.value_range",
            "must be two numbers, black below white",
        )?;
        ensure((1..=10_000).contains(&self.frames_at_most), "input.frames_at_most", "must be 1 to 10000")?;
        ensure(
            self.window.is_none_or(|by| by.center.is_finite() && by.width.is_finite() && by.width > 0.0),
            "input.window",
            "must have a center and a width above 0",
        )?;
        ensure(
            self.window.is_none() || self.luts != Luts::Voi,
            "input.window",
            "stands in place of the image's own: set luts to modality or stored",
        )?;
        ensure(
            !self.is_in_units() || self.quantise == Quantise::None,
            "input.quantise",
            "must be none where luts is modality or stored and there is no window",
        )?;
        ensure(
            !(self.pad && self.crop == Crop::CentreSquare),
            "input.pad",
            "has nothing to fill where the crop is centre-square: set crop to none",
        )?;
        ensure(
            !self.reduced_decoding || self.resize == Resize::Area,
            "input.reduced_decoding",
            "needs resize to be area: other filters take single pixels of the whole image",
        )?;
        self.check_normalisation()?;
        if task == Task::Segmentation3d {
            self.check_volume()?;
        }
        ensure(
            self.spacing_mm.is_none_or(|spacing| {
                task == Task::Segmentation3d && spacing.iter().all(|side| (0.01..=100.0).contains(side))
            }),
            "input.spacing_mm",
            "is for segmentation-3d: slices, rows and columns, each 0.01 to 100",
        )
    }

    /// Slices are brought to the network's spacing whole, and all of them by the same look-up table: an image's own
    /// would give each slice other shades.
    fn check_volume(&self) -> Result<(), CardError> {
        ensure(self.crop == Crop::None, "input.crop", "must be none for segmentation-3d")?;
        ensure(!self.pad, "input.pad", "must be false for segmentation-3d")?;
        ensure(!self.reduced_decoding, "input.reduced_decoding", "must be false for segmentation-3d")?;
        ensure(
            self.luts != Luts::Voi,
            "input.luts",
            "must be modality or stored for segmentation-3d, with a window of the card where it takes shades",
        )
    }

    fn check_normalisation(&self) -> Result<(), CardError> {
        ensure(self.mean.is_some() == self.std.is_some(), "input.mean", "and input.std come together")?;
        let fits = |list: &Option<Vec<f32>>, is_fit: fn(&f32) -> bool| {
            list.as_ref()
                .is_none_or(|values| values.len() == self.channels.count() && values.iter().all(is_fit))
        };
        ensure(fits(&self.mean, |value| value.is_finite()), "input.mean", "must be one number a channel")?;
        ensure(
            fits(&self.std, |value| value.is_finite() && *value > 0.0),
            "input.std",
            "must be one number above 0 a channel",
        )
    }
}

impl Outputs {
    /// Refuses outputs that do not answer the task.
    pub(crate) fn check(&self, task: Task) -> Result<(), CardError> {
        let least = if task == Task::Classification { 2 } else { 1 };
        let distinct: HashSet<&String> = self.classes.iter().collect();
        ensure(
            (least..=MAX_ENTRIES).contains(&self.classes.len()) && distinct.len() == self.classes.len(),
            "outputs.classes",
            "must be different names, for a classification at least two",
        )?;
        let is_none = |outputs: &[&Option<String>]| outputs.iter().all(|output| output.is_none());
        match task {
            Task::Classification | Task::MultiLabel => {
                ensure(
                    self.probabilities.is_some() != self.logits.is_some(),
                    "outputs",
                    "must name either probabilities or logits",
                )?;
                ensure(
                    is_none(&[&self.mask, &self.boxes, &self.scores]),
                    "outputs",
                    "name a mask, boxes or scores, which are for segmentation and detection",
                )?;
                let wanted = match (&self.logits, task) {
                    (None, _) => None,
                    (Some(_), Task::MultiLabel) => Some(Activation::Sigmoid),
                    (Some(_), _) => Some(Activation::Softmax),
                };
                ensure(
                    self.activation == wanted,
                    "outputs.activation",
                    "must be softmax (classification) or sigmoid (multi-label) with logits, and absent with probabilities",
                )
            }
            Task::Detection => ensure(
                self.boxes.is_some()
                    && self.scores.is_some()
                    && is_none(&[&self.probabilities, &self.logits, &self.mask]),
                "outputs",
                "of a detection must name boxes and scores, and no probabilities, logits or mask",
            ),
            Task::Segmentation | Task::Segmentation3d => ensure(
                self.mask.is_some()
                    && is_none(&[&self.probabilities, &self.logits, &self.boxes, &self.scores]),
                "outputs",
                "of a segmentation must name a mask, and no probabilities, logits, boxes or scores",
            ),
        }?;
        ensure(
            self.named().iter().all(|name| (1..=256).contains(&name.len())),
            "outputs",
            "must be names of 1 to 256 letters",
        )
    }
}

impl Run {
    /// Refuses limits that nothing could keep.
    pub(crate) fn check(&self) -> Result<(), CardError> {
        ensure(
            self.bears(Precision::F32) && self.precision.len() <= 2,
            "run.precision",
            "must hold f32, and may hold bf16",
        )?;
        ensure((1..=3_600_000).contains(&self.time_limit_ms), "run.time_limit_ms", "must be 1 to 3600000")?;
        ensure(
            (16..=1_048_576).contains(&self.memory_limit_mib),
            "run.memory_limit_mib",
            "must be 16 to 1048576",
        )
    }
}

impl Calibration {
    /// Refuses a calibration that would turn the order of probabilities round.
    pub(crate) fn check(self, task: Task) -> Result<(), CardError> {
        ensure(task.is_of_whole_images(), "calibration", "is for classification and multi-label")?;
        match self {
            Self::Temperature(by) => {
                ensure((0.01..=100.0).contains(&by), "calibration.temperature", "must be 0.01 to 100")
            }
            Self::Platt(by) => ensure(
                (-100.0..0.0).contains(&by.a) && by.b.is_finite(),
                "calibration.platt",
                "must have an a of -100 to below 0, and a b",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Calibration, Card, Luts, Platt, Precision, Task};

    const CARD: &str = include_str!("../cards/pneumonia28.toml");

    fn with(changes: &[(&str, &str)]) -> Result<Card, String> {
        let mut text = CARD.to_owned();
        for (of, instead) in changes {
            assert!(text.contains(of), "{of} stands on the card");
            text = text.replacen(of, instead, 1);
        }
        Card::parse(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_choice_of_the_schema_reads() {
        let card = with(&[
            ("task = \"classification\"", "task = \"multi-label\""),
            ("shape = [1, 1, 28, 28]", "shape = [1, 3, 28, 30]"),
            ("channels = \"grey\"", "channels = \"rgb\"\nluts = \"modality\"\nwindow = { center = 40, width = 400.0 }"),
            ("quantise = \"8-bit\"", "quantise = \"none\"\nmean = [0.4, 0.5, 0.6]\nstd = [0.1, 0.2, 0.3]"),
            ("crop = \"centre-square\"", "crop = \"none\"\npad = true\nreduced_decoding = true"),
            (
                "probabilities = \"probabilities\"",
                "logits = \"logits\"\nactivation = \"sigmoid\"\nfeatures = \"features\"",
            ),
            (
                "[texts]",
                "[run]\nprecision = [\"f32\", \"bf16\"]\nexact = true\ntime_limit_ms = 500\nmemory_limit_mib = 512\n\
                 [calibration]\nplatt = { a = -1.5, b = 0.25 }\n[texts]",
            ),
            (
                "threshold = 0.5",
                "threshold = 0.5\nchosen_for = { sensitivity = 0.9, specificity = 0.8, data = \"a test split\" }",
            ),
        ])
        .unwrap();
        assert_eq!(card.task, Task::MultiLabel);
        assert_eq!(card.input.luts, Luts::Modality);
        assert_eq!((card.input.rows(), card.input.columns(), card.input.slices()), (28, 30, None));
        assert_eq!(card.input.normalisation(2), (0.6, 0.3));
        assert!(card.run.bears(Precision::Bf16) && card.run.exact);
        assert_eq!(card.calibration, Some(Calibration::Platt(Platt { a: -1.5, b: 0.25 })));
        assert_eq!(card.outputs.named(), ["logits", "cam", "embedding", "features"]);
        assert_eq!(card.tensors(), ["logits", "cam", "distance"], "what nobody reads is not run");
        assert_eq!(card.labels[0].chosen_for.as_ref().unwrap().sensitivity, 0.9);
    }

    #[test]
    fn a_volume_has_five_dimensions_and_a_spacing() {
        let volume = [
            ("task = \"classification\"", "task = \"segmentation-3d\""),
            ("shape = [1, 1, 28, 28]", "shape = [1, 1, 64, 48, 32]\nspacing_mm = [2.0, 1.0, 1.0]"),
            ("probabilities = \"probabilities\"", "mask = \"mask\""),
            ("crop = \"centre-square\"", "crop = \"none\""),
            ("quantise = \"8-bit\"", "quantise = \"none\"\nluts = \"modality\""),
        ];
        let card = Card::parse(&volume_text(&volume)).unwrap();
        assert_eq!((card.input.slices(), card.input.rows(), card.input.columns()), (Some(64), 48, 32));
        assert_eq!(card.outputs.answer(), "mask");
        let message = with(&volume[..1]).unwrap_err();
        assert!(message.contains("input.shape must be [1, channels, slices, rows, columns]"), "{message}");
        for (of, instead, hint) in [
            ("crop = \"none\"", "crop = \"centre-square\"", "input.crop must be none"),
            ("crop = \"none\"", "crop = \"none\"\npad = true", "input.pad must be false"),
            ("luts = \"modality\"", "luts = \"voi\"", "input.luts must be modality or stored"),
            (
                "crop = \"none\"",
                "crop = \"none\"\nreduced_decoding = true",
                "input.reduced_decoding must be false",
            ),
        ] {
            let text = volume_text(&volume).replacen(of, instead, 1);
            let message = Card::parse(&text).unwrap_err().to_string();
            assert!(message.contains(hint), "{instead}: {message}");
        }
        // Nobody would ask the rule: a volume is seen in parts.
        let message = with(&volume).unwrap_err();
        assert!(message.contains("out_of_distribution is for networks that take images"), "{message}");
    }

    /// The card with these changes, without a rule for what is out of distribution.
    fn volume_text(changes: &[(&str, &str)]) -> String {
        let (before, rule) = CARD.split_once("[out_of_distribution]").unwrap();
        let behind = rule.find("[training]").map(|at| &rule[at..]).unwrap();
        let text = format!("{before}{behind}");
        changes.iter().fold(text, |text, (of, instead)| text.replacen(of, instead, 1))
    }

    #[test]
    fn choices_that_contradict_each_other_are_refused_with_what_to_mend() {
        for (of, instead, hint) in [
            ("channels = \"grey\"", "channels = \"rgb\"", "input.shape"),
            ("crop = \"centre-square\"", "crop = \"centre-square\"\npad = true", "set crop to none"),
            ("resize = \"area\"", "resize = \"area\"\nmean = [0.5]", "come together"),
            ("resize = \"area\"", "resize = \"area\"\nmean = [0.5]\nstd = [0.0]", "input.std"),
            ("resize = \"area\"", "resize = \"area\"\nmean = [0.5, 1.0]\nstd = [1.0, 1.0]", "input.mean"),
            ("resize = \"area\"", "resize = \"area\"\nspacing_mm = [1.0, 1.0, 1.0]", "segmentation-3d"),
            ("resize = \"area\"", "resize = \"area\"\nluts = \"stored\"", "input.quantise must be none"),
            ("resize = \"area\"", "resize = \"linear\"\nreduced_decoding = true", "resize to be area"),
            (
                "resize = \"area\"",
                "resize = \"area\"\nwindow = { center = 0, width = 9 }",
                "luts to modality",
            ),
            (
                "probabilities = \"probabilities\"",
                "logits = \"logits\"",
                "outputs.activation must be softmax",
            ),
            ("probabilities = \"probabilities\"\n", "", "either probabilities or logits"),
            ("task = \"classification\"", "task = \"segmentation\"", "must name a mask"),
            ("task = \"classification\"", "task = \"detection\"", "must name boxes and scores"),
            ("[texts]", "[calibration]\ntemperature = 0.0\n[texts]", "0.01 to 100"),
            ("[texts]", "[calibration]\nplatt = { a = 1.0, b = 0.0 }\n[texts]", "below 0"),
            ("[texts]", "[run]\nprecision = [\"bf16\"]\n[texts]", "must hold f32"),
            ("[texts]", "[run]\ntime_limit_ms = 0\n[texts]", "1 to 3600000"),
        ] {
            let message = with(&[(of, instead)]).unwrap_err();
            assert!(message.contains(hint), "{instead}: {message}");
        }
    }
}
