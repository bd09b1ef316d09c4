//! What an image says about itself, as far as a network's eligibility asks for it.

use chrono::NaiveDate;

/// Patient's Sex (0010,0040).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatientSex {
    /// `F`
    Female,
    /// `M`
    Male,
    /// `O`
    Other,
}

/// The attributes by which a card decides whether its network fits an image.
///
/// Texts are upper case and trimmed; what the object leaves out is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageContext {
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: Option<String>,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Body Part Examined (0018,0015), or the meaning of Anatomic Region Sequence (0008,2218).
    pub body_part: Option<String>,
    /// View Position (0018,5101).
    pub view_position: Option<String>,
    /// Patient's Age (0010,1010), or else birth date to study date, in years.
    pub age_years: Option<f64>,
    /// Patient's Sex (0010,0040).
    pub sex: Option<PatientSex>,
    /// Manufacturer (0008,0070).
    pub manufacturer: Option<String>,
    /// Photometric Interpretation (0028,0004).
    pub photometric_interpretation: Option<String>,
    /// Pixel Spacing (0028,0030) or Imager Pixel Spacing (0018,1164): between rows, between columns.
    pub pixel_spacing_mm: Option<(f64, f64)>,
    /// Rows (0028,0010).
    pub rows: Option<u32>,
    /// Columns (0028,0011).
    pub columns: Option<u32>,
    /// Number of Frames (0028,0008), 1 where absent; `None` where there are no pixels.
    pub frame_count: Option<u32>,
}

/// The age in years: by Patient's Age (`018M`, `003Y`, …) where it reads, else from the two dates.
///
/// Source: PS3.5, section 6.2, VR AS and DA.
pub fn age_in_years(age: Option<&str>, born: Option<&str>, study_date: Option<&str>) -> Option<f64> {
    age.and_then(stated_age).or_else(|| {
        let born = day(born?)?;
        let days = (day(study_date?)? - born).num_days();
        (days >= 0).then_some(days as f64 / 365.25)
    })
}

fn stated_age(text: &str) -> Option<f64> {
    let text = text.trim_matches(['\0', ' ']);
    let unit = text.chars().next_back()?;
    let number: f64 = text.get(..text.len() - unit.len_utf8())?.parse::<u16>().ok()?.into();
    match unit {
        'D' => Some(number / 365.25),
        'W' => Some(number * 7.0 / 365.25),
        'M' => Some(number / 12.0),
        'Y' => Some(number),
        _ => None,
    }
}

fn day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text.trim_matches(['\0', ' ']), "%Y%m%d").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_read_in_each_of_its_units() {
        for (text, years) in [("003Y", 3.0), ("018M", 1.5), ("052W", 364.0 / 365.25), ("010D", 10.0 / 365.25)]
        {
            assert_eq!(age_in_years(Some(text), None, None), Some(years), "{text}");
        }
    }

    #[test]
    fn without_a_stated_age_the_dates_tell_it() {
        let years = age_in_years(None, Some("20200101"), Some("20230101")).unwrap();
        assert!((years - 3.0).abs() < 0.01);
    }

    #[test]
    fn an_age_that_cannot_be_known_is_not_guessed() {
        assert_eq!(age_in_years(Some("old"), Some("2020"), Some("20230101")), None);
        assert_eq!(age_in_years(Some("Y"), None, None), None);
        assert_eq!(age_in_years(None, Some("20240101"), Some("20230101")), None, "born after the study");
    }
}
