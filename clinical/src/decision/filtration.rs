//! How well the kidneys filter, estimated from creatinine where nobody has told it.

use super::presentation::Presentation;
use crate::person::Sex;

/// µmol/l of creatinine in one mg/dl.
const UMOL_L: f32 = 88.4;
/// From these years on the equation of adults holds.
const ADULT_FROM: f32 = 18.0;
/// From these years on the equation of children holds.
const CHILD_FROM: f32 = 1.0;

impl Presentation {
    /// The glomerular filtration rate in ml/min/1.73 m²: as it was told, else estimated from creatinine, by age and sex for
    /// adults and by height for children; `None` where that was not told, and in a pregnancy, for which neither was
    /// made.
    ///
    /// Source: CKD-EPI 2021 without race (Inker et al., doi:10.1056/NEJMoa2102953); bedside Schwartz (Schwartz et al.,
    /// doi:10.1681/ASN.2008030287).
    pub fn filtration(&self) -> Option<f32> {
        let is_pregnant = self.pregnant.unwrap_or(self.gestation_weeks.is_some());
        if self.egfr.is_some() || is_pregnant {
            return self.egfr;
        }
        let mg_dl = self.creatinine_mg_dl.or(self.creatinine_umol_l.map(|umol_l| umol_l / UMOL_L))?;
        let age = self.age?;
        if age < ADULT_FROM {
            return self.vitals.height_cm.filter(|_| age >= CHILD_FROM).map(|cm| 0.413 * cm / mg_dl);
        }
        let (kappa, alpha, of_sex) = match self.sex {
            Sex::Female => (0.7, -0.241, 1.012),
            Sex::Male => (0.9, -0.302, 1.0),
            _ => return None,
        };
        let share: f32 = mg_dl / kappa;
        Some(142.0 * share.min(1.0).powf(alpha) * share.max(1.0).powf(-1.2) * 0.9938_f32.powf(age) * of_sex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(told: &str) -> Option<f32> {
        let told: Presentation = serde_json::from_str(told).unwrap();
        told.filtration().map(f32::round)
    }

    /// Worked by hand from the published equations.
    #[test]
    fn filtration_is_estimated_from_creatinine_where_it_is_not_told() {
        assert_eq!(rate(r#"{"creatinine_mg_dl": 1.0, "age": 50, "sex": "male"}"#), Some(92.0));
        assert_eq!(rate(r#"{"creatinine_mg_dl": 1.0, "age": 50, "sex": "female"}"#), Some(69.0));
        assert_eq!(rate(r#"{"creatinine_umol_l": 265.2, "age": 70, "sex": "male"}"#), Some(22.0));
        assert_eq!(rate(r#"{"creatinine_mg_dl": 0.5, "age": 6, "vitals": {"height_cm": 115}}"#), Some(95.0));
        assert_eq!(rate(r#"{"creatinine_mg_dl": 1.0, "age": 50, "sex": "male", "egfr": 40}"#), Some(40.0));
    }

    #[test]
    fn what_an_equation_was_not_made_for_is_not_estimated() {
        for told in [
            r#"{"creatinine_mg_dl": 1.0, "age": 50}"#,
            r#"{"creatinine_mg_dl": 1.0, "sex": "male"}"#,
            r#"{"creatinine_mg_dl": 0.5, "age": 6}"#,
            r#"{"creatinine_mg_dl": 0.5, "age": 0.5, "vitals": {"height_cm": 66}}"#,
            r#"{"creatinine_mg_dl": 1.0, "age": 30, "sex": "female", "pregnant": true}"#,
            r#"{"creatinine_mg_dl": 1.0, "age": 30, "sex": "female", "gestation_weeks": 20}"#,
        ] {
            assert_eq!(rate(told), None, "{told}");
        }
    }
}
