//! What was measured, as far as it decides how soon somebody should be seen.

use serde::{Deserialize, Serialize};

use super::presentation::Faults;

/// Level of consciousness: alert, new confusion, voice, pain, unresponsive (Royal College of Physicians, NEWS2, 2017).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Consciousness {
    /// Alert.
    #[serde(rename = "A", alias = "alert")]
    Alert,
    /// Newly confused.
    #[serde(rename = "C", alias = "confused")]
    Confused,
    /// Answers a voice.
    #[serde(rename = "V", alias = "voice")]
    Voice,
    /// Answers pain.
    #[serde(rename = "P", alias = "pain")]
    Pain,
    /// Answers nothing.
    #[serde(rename = "U", alias = "unresponsive")]
    Unresponsive,
}

/// Vital signs; what was not measured is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Vitals {
    /// Body temperature in °C.
    #[serde(alias = "temperatureC", alias = "temperature", skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f32>,
    /// Heart beats a minute.
    #[serde(alias = "heartRate", alias = "pulse", skip_serializing_if = "Option::is_none")]
    pub heart_rate: Option<f32>,
    /// Breaths a minute.
    #[serde(alias = "respiratoryRate", skip_serializing_if = "Option::is_none")]
    pub respiratory_rate: Option<f32>,
    /// Systolic blood pressure in mmHg.
    #[serde(alias = "systolicBp", alias = "systolic_bp", skip_serializing_if = "Option::is_none")]
    pub systolic: Option<f32>,
    /// Diastolic blood pressure in mmHg.
    #[serde(alias = "diastolicBp", alias = "diastolic_bp", skip_serializing_if = "Option::is_none")]
    pub diastolic: Option<f32>,
    /// Oxygen saturation by pulse oximetry, in per cent.
    #[serde(
        alias = "oxygenSaturation",
        alias = "oxygen_saturation",
        skip_serializing_if = "Option::is_none"
    )]
    pub spo2: Option<f32>,
    /// Whether oxygen is given.
    #[serde(alias = "onOxygen", skip_serializing_if = "Option::is_none")]
    pub on_oxygen: Option<bool>,
    /// Level of consciousness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consciousness: Option<Consciousness>,
    /// Body weight in kg.
    #[serde(alias = "weightKg", alias = "weight", skip_serializing_if = "Option::is_none")]
    pub weight_kg: Option<f32>,
    /// Body height in cm.
    #[serde(alias = "heightCm", alias = "height", skip_serializing_if = "Option::is_none")]
    pub height_cm: Option<f32>,
    /// Blood glucose in mmol/l.
    #[serde(alias = "glucoseMmolL", skip_serializing_if = "Option::is_none")]
    pub glucose_mmol_l: Option<f32>,
    /// Capillary refill time in seconds.
    #[serde(alias = "capillaryRefillS", skip_serializing_if = "Option::is_none")]
    pub capillary_refill_s: Option<f32>,
}

impl Vitals {
    /// Names every value that no living person has: a slip of the pen, or another unit.
    pub(super) fn check(&self, faults: &mut Faults) {
        let bounds = [
            ("vitals.temperature_c", self.temperature_c, 20.0, 45.0, "is 20 to 45 °C"),
            ("vitals.heart_rate", self.heart_rate, 0.0, 350.0, "is 0 to 350 a minute"),
            ("vitals.respiratory_rate", self.respiratory_rate, 0.0, 120.0, "is 0 to 120 a minute"),
            ("vitals.systolic", self.systolic, 20.0, 350.0, "is 20 to 350 mmHg"),
            ("vitals.diastolic", self.diastolic, 5.0, 250.0, "is 5 to 250 mmHg"),
            ("vitals.spo2", self.spo2, 10.0, 100.0, "is 10 to 100 per cent"),
            ("vitals.weight_kg", self.weight_kg, 0.2, 650.0, "is 0.2 to 650 kg"),
            ("vitals.height_cm", self.height_cm, 20.0, 280.0, "is 20 to 280 cm"),
            ("vitals.glucose_mmol_l", self.glucose_mmol_l, 0.2, 150.0, "is 0.2 to 150 mmol/l"),
            ("vitals.capillary_refill_s", self.capillary_refill_s, 0.0, 60.0, "is 0 to 60 seconds"),
        ];
        for (member, value, from, to, rule) in bounds {
            faults.hold(member, value.is_none_or(|value| (from..=to).contains(&value)), rule);
        }
        if let (Some(systolic), Some(diastolic)) = (self.systolic, self.diastolic) {
            faults.hold("vitals.diastolic", diastolic < systolic, "is below the systolic pressure");
        }
    }
}
