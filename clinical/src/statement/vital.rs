//! A measured vital sign.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::coding::{Coding, LOINC};
use crate::invalid::{Invalid, invalid, note};

/// Clocks of instruments go wrong by so much.
const CLOCK_ERROR: TimeDelta = TimeDelta::minutes(5);
/// LOINC's panel of systolic and diastolic blood pressure.
pub const BLOOD_PRESSURE: &str = "85354-9";

/// A unit, as UCUM writes it, and the least and the greatest value in it.
type Bounds = (&'static str, f64, f64);

/// Each code with the units that it may be measured in, and the least and the greatest value that is believed.
///
/// Codes and units are those of FHIR R4's vital-signs profile («Vital Signs Magic Values») with glucose. The bounds are
/// ours: a little beyond what was ever measured in a living person, to catch a slip of the pen or a wrong unit, not to judge.
const PLAUSIBLE: &[(&str, &[Bounds])] = &[
    ("8867-4", &[("/min", 0.0, 400.0)]),
    ("9279-1", &[("/min", 0.0, 150.0)]),
    ("2708-6", &[("%", 10.0, 100.0)]),
    ("59408-5", &[("%", 10.0, 100.0)]),
    ("8310-5", &[("Cel", 10.0, 47.0), ("[degF]", 50.0, 117.0)]),
    ("8302-2", &[("cm", 15.0, 275.0), ("[in_i]", 6.0, 108.0)]),
    ("9843-4", &[("cm", 10.0, 100.0), ("[in_i]", 4.0, 40.0)]),
    ("29463-7", &[("kg", 0.2, 650.0), ("g", 200.0, 650_000.0), ("[lb_av]", 0.4, 1_430.0)]),
    ("39156-5", &[("kg/m2", 5.0, 210.0)]),
    ("8480-6", &[("mm[Hg]", 20.0, 400.0)]),
    ("8462-4", &[("mm[Hg]", 5.0, 350.0)]),
    ("15074-8", &[("mmol/L", 0.2, 150.0)]),
    ("2339-0", &[("mg/dL", 4.0, 2_700.0)]),
];

/// One measurement, or the two of a blood pressure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vital {
    /// What was measured; LOINC.
    pub coding: Coding,
    /// How much; `null` where `components` say it.
    #[serde(default)]
    pub value: Option<f64>,
    /// In which unit, as UCUM writes it.
    #[serde(default)]
    pub unit: Option<String>,
    /// The parts of a blood pressure (85354-9): systolic 8480-6 and diastolic 8462-4.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(max_items = 2))]
    pub components: Vec<Measurement>,
    /// When it was measured.
    pub taken_at: DateTime<Utc>,
    /// What else is to be said.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(max_length = 4000))]
    pub note: Option<String>,
}

/// One part of a [`Vital`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Measurement {
    /// What was measured; LOINC.
    pub coding: Coding,
    /// How much.
    pub value: f64,
    /// In which unit, as UCUM writes it.
    pub unit: String,
}

impl Vital {
    pub(super) fn check_at(&self, now: DateTime<Utc>) -> Result<(), Invalid> {
        let first = NaiveDate::from_ymd_opt(1890, 1, 1);
        if self.taken_at > now + CLOCK_ERROR || first.is_some_and(|first| self.taken_at.date_naive() < first)
        {
            return Err(invalid("takenAt", "is an instant of the past, not before 1890"));
        }
        note("note", self.note.as_ref())?;
        self.coding.check()?;
        if self.coding.system == LOINC && self.coding.code == BLOOD_PRESSURE {
            return self.check_components();
        }
        if !self.components.is_empty() {
            return Err(invalid("components", "belong to a blood pressure (85354-9) alone"));
        }
        let (Some(value), Some(unit)) = (self.value, &self.unit) else {
            return Err(invalid("value", "stands with its unit"));
        };
        plausible(&self.coding, value, unit)
    }

    fn check_components(&self) -> Result<(), Invalid> {
        if self.value.is_some() || self.unit.is_some() {
            return Err(invalid("value", "of a blood pressure stands in its components"));
        }
        let part = |code| self.components.iter().find(|part| part.coding.code == code);
        let (Some(systolic), Some(diastolic), 2) = (part("8480-6"), part("8462-4"), self.components.len())
        else {
            return Err(invalid("components", "of a blood pressure are 8480-6 and 8462-4"));
        };
        for measurement in [systolic, diastolic] {
            measurement.coding.check()?;
            plausible(&measurement.coding, measurement.value, &measurement.unit)?;
        }
        if diastolic.value > systolic.value {
            return Err(invalid("components", "have a systolic pressure that is not below the diastolic"));
        }
        Ok(())
    }
}

fn plausible(coding: &Coding, value: f64, unit: &str) -> Result<(), Invalid> {
    let known = PLAUSIBLE.iter().find(|(code, _)| coding.system == LOINC && coding.code == *code);
    let (_, units) = known.ok_or(invalid("coding", "is LOINC's code of a vital sign that is known here"))?;
    let bounds = units.iter().find(|(known, ..)| *known == unit);
    let (_, least, greatest) =
        bounds.ok_or(invalid("unit", "is one in which this vital sign is measured"))?;
    if !(*least..=*greatest).contains(&value) {
        return Err(invalid("value", "is not plausible in this unit"));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::now;
    use super::*;

    pub(crate) fn heart_rate(value: f64) -> Vital {
        Vital {
            coding: Coding::of(LOINC, "8867-4", "Heart rate"),
            value: Some(value),
            unit: Some("/min".into()),
            components: Vec::new(),
            taken_at: now(),
            note: None,
        }
    }

    pub(crate) fn blood_pressure(systolic: f64, diastolic: f64) -> Vital {
        let part = |code, display, value| Measurement {
            coding: Coding::of(LOINC, code, display),
            value,
            unit: "mm[Hg]".into(),
        };
        Vital {
            coding: Coding::of(LOINC, BLOOD_PRESSURE, "Blood pressure panel"),
            value: None,
            unit: None,
            components: vec![
                part("8480-6", "Systolic blood pressure", systolic),
                part("8462-4", "Diastolic blood pressure", diastolic),
            ],
            ..heart_rate(0.0)
        }
    }

    fn broken(vital: Vital) -> &'static str {
        vital.check_at(now()).unwrap_err().member
    }

    #[test]
    fn a_value_is_plausible_in_its_unit_or_refused() {
        assert_eq!(heart_rate(72.0).check_at(now()), Ok(()));
        assert_eq!(broken(heart_rate(720.0)), "value");
        assert_eq!(broken(heart_rate(f64::NAN)), "value");
        assert_eq!(broken(Vital { unit: Some("Hz".into()), ..heart_rate(72.0) }), "unit");
        assert_eq!(broken(Vital { unit: None, ..heart_rate(72.0) }), "value");
        assert_eq!(
            broken(Vital { coding: Coding::of(LOINC, "1-8", "Acyclovir"), ..heart_rate(1.0) }),
            "coding"
        );
        assert_eq!(
            broken(Vital { coding: Coding::of("urn:x", "8867-4", "x"), ..heart_rate(72.0) }),
            "coding"
        );
    }

    /// 98.6 °F are 37 °C: the one written with the other's unit is a slip of the pen.
    #[test]
    fn fahrenheit_is_not_taken_for_celsius() {
        let temperature = |value, unit: &str| Vital {
            coding: Coding::of(LOINC, "8310-5", "Body temperature"),
            unit: Some(unit.into()),
            ..heart_rate(value)
        };
        assert_eq!(temperature(37.0, "Cel").check_at(now()), Ok(()));
        assert_eq!(temperature(98.6, "[degF]").check_at(now()), Ok(()));
        assert_eq!(broken(temperature(98.6, "Cel")), "value");
        assert_eq!(broken(temperature(37.0, "[degF]")), "value");
    }

    #[test]
    fn nothing_is_measured_in_the_future() {
        let at = |minutes| Vital { taken_at: now() + TimeDelta::minutes(minutes), ..heart_rate(72.0) };
        assert_eq!(at(5).check_at(now()), Ok(()));
        assert_eq!(broken(at(6)), "takenAt");
    }

    #[test]
    fn a_blood_pressure_has_both_its_parts() {
        assert_eq!(blood_pressure(120.0, 80.0).check_at(now()), Ok(()));
        assert_eq!(broken(blood_pressure(80.0, 120.0)), "components");
        assert_eq!(broken(blood_pressure(1_200.0, 80.0)), "value");
        let mut half = blood_pressure(120.0, 80.0);
        half.components.pop();
        assert_eq!(broken(half), "components");
        assert_eq!(broken(Vital { value: Some(1.0), ..blood_pressure(120.0, 80.0) }), "value");
        let foreign = Vital { components: blood_pressure(120.0, 80.0).components, ..heart_rate(72.0) };
        assert_eq!(broken(foreign), "components");
    }
}
