//! What was measured: as findings, and as early warning scores.

mod scores;

use clinical::decision::{Consciousness, FindingState, Vitals};
use models::{FindingIx, Knowledge};

pub(crate) use scores::reasons;

/// Beats a minute above which a heart of an age (years, from) is fast, and below which it is slow; breaths a minute above
/// which breathing is fast (Fleming et al., Lancet 2011, 90th and 10th centiles, rounded; adults: NEWS2, 2017).
pub(crate) const BY_AGE: [(f32, f32, f32, f32); 7] = [
    (0.0, 165.0, 100.0, 57.0),
    (0.5, 155.0, 95.0, 50.0),
    (1.0, 145.0, 90.0, 43.0),
    (3.0, 130.0, 75.0, 30.0),
    (8.0, 115.0, 62.0, 25.0),
    (12.0, 108.0, 55.0, 22.0),
    (16.0, 100.0, 50.0, 20.0),
];

/// The age that is taken where none is told, in years.
pub(crate) const ADULT_YEARS: f32 = 40.0;

/// The row of [`BY_AGE`]; without an age an adult's.
pub(crate) fn by_age(age: Option<f32>) -> (f32, f32, f32, f32) {
    let years = age.unwrap_or(ADULT_YEARS);
    BY_AGE.iter().rev().find(|row| years >= row.0).copied().unwrap_or(BY_AGE[6])
}

/// Says of every finding that is a measurement whether it is there.
pub(crate) fn say_findings(
    knowledge: &Knowledge,
    vitals: &Vitals,
    age: Option<f32>,
    mut say: impl FnMut(FindingIx, FindingState),
) {
    let (_, fast_heart, slow_heart, fast_breath) = by_age(age);
    let is_adult = age.is_none_or(|years| years >= 16.0);
    let mut hold = |id: &str, value: Option<f32>, is_there: &dyn Fn(f32) -> bool| {
        if let (Some(finding), Some(value)) = (knowledge.finding(id), value) {
            say(finding, if is_there(value) { FindingState::Present } else { FindingState::Absent });
        }
    };
    let temperature = vitals.temperature_c;
    hold("fever", temperature, &|t| t >= 38.0);
    hold("high-fever", temperature, &|t| t >= 39.0);
    hold("body-over-40", temperature, &|t| t > 40.0);
    hold("low-temperature", temperature, &|t| t < 35.5);
    hold("tachycardia", vitals.heart_rate, &|rate| rate > fast_heart);
    hold("bradycardia", vitals.heart_rate, &|rate| rate < slow_heart);
    hold("tachypnoea", vitals.respiratory_rate, &|rate| rate > fast_breath);
    hold("low-oxygen", vitals.spo2, &|spo2| spo2 < 94.0);
    if is_adult {
        let pressure = vitals.systolic.or(vitals.diastolic.map(|_| 120.0));
        let diastolic = vitals.diastolic.unwrap_or(80.0);
        hold("hypotension", vitals.systolic, &|systolic| systolic < 90.0);
        hold("high-blood-pressure", pressure, &|systolic| systolic >= 140.0 || diastolic >= 90.0);
        hold("very-high-blood-pressure", pressure, &|systolic| systolic >= 180.0 || diastolic >= 120.0);
    }
    hold("high-blood-sugar", vitals.glucose_mmol_l, &|glucose| glucose >= 11.1);
    hold("low-blood-sugar", vitals.glucose_mmol_l, &|glucose| glucose < 3.9);
    let is_level = |wanted: &[Consciousness]| {
        vitals.consciousness.map(|level| f32::from(u8::from(wanted.contains(&level))))
    };
    hold("confusion", is_level(&[Consciousness::Confused]), &|is| is > 0.0);
    let low = [Consciousness::Voice, Consciousness::Pain, Consciousness::Unresponsive];
    hold("reduced-consciousness", is_level(&low), &|is| is > 0.0);
}
