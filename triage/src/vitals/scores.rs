//! Early warning scores: NEWS2 for adults, bands for children and for pregnancies, qSOFA.

use clinical::decision::{Consciousness, Reason, Urgency, Vitals};

use super::by_age;

const NEWS2: &str = "Royal College of Physicians: National Early Warning Score (NEWS) 2, 2017";
const QSOFA: &str = "doi:10.1001/jama.2016.0287";

/// What the measurements alone ask for, each reason with its level.
pub(crate) fn reasons(vitals: &Vitals, age: Option<f32>, pregnant: Option<bool>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if age.is_some_and(|years| years < 16.0) {
        child(vitals, age, &mut reasons);
    } else if pregnant == Some(true) {
        pregnancy(vitals, &mut reasons);
    } else {
        news2(vitals, &mut reasons);
    }
    if age.is_none_or(|years| years >= 16.0) {
        qsofa(vitals, &mut reasons);
    }
    anybody(vitals, &mut reasons);
    reasons
}

fn reason(urgency: Urgency, rule: &str, text: String, source: Option<&str>) -> Reason {
    Reason { urgency, rule: rule.to_owned(), text, source: source.map(str::to_owned) }
}

/// Points of each measurement (Royal College of Physicians, NEWS2, 2017, chart 1; oxygen saturation by scale 1).
fn news2_points(vitals: &Vitals) -> [u8; 7] {
    let banded = |value: Option<f32>, bands: &[(f32, u8)], above: u8| {
        value
            .map_or(0, |value| bands.iter().find(|(to, _)| value <= *to).map_or(above, |(_, points)| *points))
    };
    [
        banded(vitals.respiratory_rate, &[(8.0, 3), (11.0, 1), (20.0, 0), (24.0, 2)], 3),
        banded(vitals.spo2, &[(91.0, 3), (93.0, 2), (95.0, 1)], 0),
        if vitals.on_oxygen == Some(true) { 2 } else { 0 },
        banded(vitals.systolic, &[(90.0, 3), (100.0, 2), (110.0, 1), (219.0, 0)], 3),
        banded(vitals.heart_rate, &[(40.0, 3), (50.0, 1), (90.0, 0), (110.0, 1), (130.0, 2)], 3),
        if vitals.consciousness.is_some_and(|level| level != Consciousness::Alert) { 3 } else { 0 },
        banded(vitals.temperature_c, &[(35.0, 3), (36.0, 1), (38.0, 0), (39.0, 1)], 2),
    ]
}

fn news2(vitals: &Vitals, reasons: &mut Vec<Reason>) {
    let points = news2_points(vitals);
    let sum: u8 = points.iter().sum();
    let urgency = match sum {
        7.. => Urgency::EmergencyAmbulance,
        5..=6 => Urgency::Emergency,
        _ if points.contains(&3) => Urgency::Emergency,
        3..=4 => Urgency::Within24Hours,
        _ => return,
    };
    let text = format!("The measured values make an early warning score (NEWS2) of {sum}.");
    reasons.push(reason(urgency, "news2", text, Some(NEWS2)));
}

/// Two of fast breathing, low pressure, clouded mind (Singer et al., JAMA 2016).
fn qsofa(vitals: &Vitals, reasons: &mut Vec<Reason>) {
    let met = [
        vitals.respiratory_rate.is_some_and(|rate| rate >= 22.0),
        vitals.systolic.is_some_and(|systolic| systolic <= 100.0),
        vitals.consciousness.is_some_and(|level| level != Consciousness::Alert),
    ];
    let count = met.iter().filter(|met| **met).count();
    if count >= 2 {
        let text =
            format!("{count} of the 3 signs of qSOFA are there: with an infection this may be sepsis.");
        reasons.push(reason(Urgency::Emergency, "qsofa", text, Some(QSOFA)));
    }
}

/// Bands by age for the heart and the breathing; the limits of circulation and oxygen in children, by our own judgement.
fn child(vitals: &Vitals, age: Option<f32>, reasons: &mut Vec<Reason>) {
    let (_, fast_heart, slow_heart, fast_breath) = by_age(age);
    let years = age.unwrap_or(8.0);
    let mut hold = |urgency, rule, is_met: bool, text: &str| {
        if is_met {
            reasons.push(reason(urgency, rule, text.to_owned(), None));
        }
    };
    let above = |value: Option<f32>, limit: f32| value.is_some_and(|value| value > limit);
    let below = |value: Option<f32>, limit: f32| value.is_some_and(|value| value < limit);
    let text = "The oxygen saturation is too low for a child.";
    hold(Urgency::EmergencyAmbulance, "child-oxygen", below(vitals.spo2, 92.0), text);
    hold(Urgency::Emergency, "child-oxygen", below(vitals.spo2, 95.0), text);
    let text = "The child breathes much faster than others of that age.";
    hold(Urgency::Emergency, "child-breathing", above(vitals.respiratory_rate, fast_breath * 1.25), text);
    let text = "The child breathes faster than others of that age.";
    hold(Urgency::Within24Hours, "child-breathing", above(vitals.respiratory_rate, fast_breath), text);
    let text = "The child breathes too slowly.";
    hold(Urgency::EmergencyAmbulance, "child-breathing-slow", below(vitals.respiratory_rate, 10.0), text);
    let text = "The child's heart is much faster than that of others of that age.";
    hold(Urgency::Emergency, "child-heart", above(vitals.heart_rate, fast_heart * 1.2), text);
    let text = "The child's heart is faster than that of others of that age.";
    hold(Urgency::Within24Hours, "child-heart", above(vitals.heart_rate, fast_heart), text);
    let text = "The child's heart is slower than that of others of that age.";
    hold(Urgency::Emergency, "child-heart-slow", below(vitals.heart_rate, slow_heart * 0.85), text);
    let text = "The child's blood pressure is too low.";
    let lowest = 70.0 + 2.0 * years.min(10.0);
    hold(Urgency::EmergencyAmbulance, "child-pressure", below(vitals.systolic, lowest), text);
    let text = "Blood comes back too slowly into the skin.";
    hold(Urgency::Emergency, "child-refill", above(vitals.capillary_refill_s, 3.0), text);
    let text = "The child is not fully awake.";
    let is_dull = vitals.consciousness.is_some_and(|level| level != Consciousness::Alert);
    hold(Urgency::EmergencyAmbulance, "child-consciousness", is_dull, text);
    let text = "A fever in the first three months needs a hospital.";
    hold(Urgency::Emergency, "infant-fever", years < 0.25 && above(vitals.temperature_c, 37.95), text);
    let text = "A high fever in the first half year needs a physician today.";
    hold(Urgency::Within24Hours, "infant-fever", years < 0.5 && above(vitals.temperature_c, 38.95), text);
    hold(
        Urgency::Emergency,
        "infant-cold",
        years < 0.25 && below(vitals.temperature_c, 36.0),
        "An infant this cold needs a hospital.",
    );
}

/// In a pregnancy NEWS2 does not hold: one value far off is enough.
fn pregnancy(vitals: &Vitals, reasons: &mut Vec<Reason>) {
    let outside = |value: Option<f32>, low: f32, high: f32| value.is_some_and(|v| v < low || v > high);
    let is_far_off = outside(vitals.systolic, 90.0, 159.0)
        || outside(vitals.diastolic, 30.0, 109.0)
        || outside(vitals.heart_rate, 40.0, 120.0)
        || outside(vitals.respiratory_rate, 10.0, 30.0)
        || outside(vitals.temperature_c, 35.0, 38.0)
        || outside(vitals.spo2, 94.9, 101.0)
        || vitals.consciousness.is_some_and(|level| level != Consciousness::Alert);
    if is_far_off {
        let text = "A measured value is far from what is usual in a pregnancy.".to_owned();
        reasons.push(reason(Urgency::Emergency, "pregnancy-vitals", text, None));
    } else if outside(vitals.systolic, 90.0, 139.0) || outside(vitals.diastolic, 30.0, 89.0) {
        let text = "The blood pressure is raised for a pregnancy.".to_owned();
        reasons.push(reason(Urgency::Within24Hours, "pregnancy-pressure", text, None));
    }
}

/// Limits at any age.
fn anybody(vitals: &Vitals, reasons: &mut Vec<Reason>) {
    let mut hold = |urgency, rule, is_met: bool, text: &str| {
        if is_met {
            reasons.push(reason(urgency, rule, text.to_owned(), None));
        }
    };
    let glucose = vitals.glucose_mmol_l;
    let text = "The blood sugar is dangerously low.";
    hold(Urgency::Emergency, "glucose-low", glucose.is_some_and(|glucose| glucose < 3.0), text);
    let text = "The blood sugar is very high.";
    hold(Urgency::Emergency, "glucose-high", glucose.is_some_and(|glucose| glucose > 20.0), text);
    let pressure = vitals.systolic.is_some_and(|systolic| systolic >= 180.0)
        || vitals.diastolic.is_some_and(|diastolic| diastolic >= 120.0);
    hold(Urgency::Within24Hours, "pressure-very-high", pressure, "The blood pressure is very high.");
    let heat = vitals.temperature_c;
    let text = "The body temperature is dangerous.";
    hold(Urgency::EmergencyAmbulance, "temperature", heat.is_some_and(|t| !(32.0..42.0).contains(&t)), text);
    hold(Urgency::Emergency, "temperature", heat.is_some_and(|t| !(34.0..41.0).contains(&t)), text);
    let level = vitals.consciousness;
    let is_out = matches!(level, Some(Consciousness::Pain | Consciousness::Unresponsive));
    hold(
        Urgency::EmergencyAmbulance,
        "consciousness",
        is_out,
        "Somebody who cannot be woken needs an ambulance.",
    );
    let heart = vitals.heart_rate.is_some_and(|rate| rate < 35.0);
    hold(Urgency::EmergencyAmbulance, "heart-stopping", heart, "The heart beats dangerously slowly.");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(vitals: &Vitals, age: f32, pregnant: Option<bool>) -> Option<Urgency> {
        reasons(vitals, Some(age), pregnant).iter().map(|reason| reason.urgency).max()
    }

    /// Royal College of Physicians, NEWS2 (2017), chart 1: each band's ends.
    #[test]
    fn the_points_are_those_of_the_chart() {
        let of = |vitals: Vitals| news2_points(&vitals).iter().sum::<u8>();
        for (rate, points) in [(8.0, 3), (9.0, 1), (12.0, 0), (20.0, 0), (21.0, 2), (24.0, 2), (25.0, 3)] {
            assert_eq!(of(Vitals { respiratory_rate: Some(rate), ..Vitals::default() }), points, "{rate}");
        }
        for (spo2, points) in [(91.0, 3), (92.0, 2), (94.0, 1), (96.0, 0)] {
            assert_eq!(of(Vitals { spo2: Some(spo2), ..Vitals::default() }), points, "{spo2}");
        }
        for (systolic, points) in [(90.0, 3), (91.0, 2), (101.0, 1), (111.0, 0), (219.0, 0), (220.0, 3)] {
            assert_eq!(of(Vitals { systolic: Some(systolic), ..Vitals::default() }), points, "{systolic}");
        }
        for (pulse, points) in [(40.0, 3), (41.0, 1), (51.0, 0), (91.0, 1), (111.0, 2), (131.0, 3)] {
            assert_eq!(of(Vitals { heart_rate: Some(pulse), ..Vitals::default() }), points, "{pulse}");
        }
        for (heat, points) in [(35.0, 3), (35.1, 1), (36.1, 0), (38.0, 0), (38.1, 1), (39.0, 1), (39.1, 2)] {
            assert_eq!(of(Vitals { temperature_c: Some(heat), ..Vitals::default() }), points, "{heat}");
        }
    }

    #[test]
    fn seven_points_call_an_ambulance_and_one_red_value_is_an_emergency() {
        let seven = Vitals {
            respiratory_rate: Some(25.0),
            spo2: Some(92.0),
            heart_rate: Some(115.0),
            ..Vitals::default()
        };
        assert_eq!(worst(&seven, 50.0, None), Some(Urgency::EmergencyAmbulance));
        let red = Vitals { systolic: Some(88.0), ..Vitals::default() };
        assert_eq!(worst(&red, 50.0, None), Some(Urgency::Emergency));
        assert_eq!(worst(&Vitals { heart_rate: Some(72.0), ..Vitals::default() }, 50.0, None), None);
    }

    /// NEWS2 is for those of 16 and over who are not pregnant.
    #[test]
    fn an_infants_pulse_is_no_adults_emergency_and_a_pregnancy_has_its_own_limits() {
        let fast = Vitals { heart_rate: Some(140.0), ..Vitals::default() };
        assert_eq!(worst(&fast, 0.3, None), None);
        assert_eq!(worst(&fast, 40.0, None), Some(Urgency::Emergency));
        let high = Vitals { systolic: Some(165.0), diastolic: Some(100.0), ..Vitals::default() };
        assert_eq!(worst(&high, 30.0, Some(true)), Some(Urgency::Emergency));
        assert!(reasons(&high, Some(30.0), Some(true)).iter().all(|reason| reason.rule != "news2"));
    }

    #[test]
    fn a_fever_in_the_first_three_months_is_an_emergency() {
        let fever = Vitals { temperature_c: Some(38.0), ..Vitals::default() };
        assert_eq!(worst(&fever, 0.1, None), Some(Urgency::Emergency));
        assert_eq!(worst(&fever, 2.0, None), None);
    }
}
