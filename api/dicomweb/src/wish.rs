//! How the client wants its picture: the parameters of rendered resources (PS3.18, section 8.3.5).

use axum::extract::Query;
use axum::http::Uri;
use clinical::imaging::{VoiFunction, Window};
use gate::Problem;
use ingest::pixels::{Region, Viewport};

/// Where the client says nothing of it.
const QUALITY: u8 = 90;
/// The greatest viewport edge, in pixels.
const EDGE_MAX: u32 = 16_384;
/// Edge of a thumbnail for which no viewport is given, in pixels.
const THUMBNAIL: u32 = 256;

/// How the client wants its picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wish {
    pub(crate) window: Option<Window>,
    pub(crate) viewport: Option<Viewport>,
    pub(crate) quality: u8,
    pub(crate) annotation: Annotation,
}

/// What is burnt into the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Annotation {
    /// Who it is of.
    pub(crate) has_patient: bool,
    /// How it was made.
    pub(crate) has_technique: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { window: None, viewport: None, quality: QUALITY, annotation: Annotation::default() }
    }
}

impl Wish {
    /// The parameters of a rendered resource.
    ///
    /// # Errors
    ///
    /// 400 `invalid-value` and `unknown-key`.
    pub(crate) fn read(uri: &Uri) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)?;
        let mut wish = Self::default();
        for (name, value) in &pairs {
            match name.as_str() {
                "window" => {
                    let wanted = "window is centre,width,function: linear, linear-exact or sigmoid";
                    wish.window = Some(window(value).ok_or_else(|| invalid(wanted))?);
                }
                "viewport" => wish.viewport = Some(viewport_or_problem(value)?),
                "quality" => wish.quality = quality(value)?,
                "annotation" => wish.annotation = annotation(value)?,
                "iccprofile" => icc_profile(value)?,
                "accept" | "charset" => {}
                _ => {
                    let known =
                        "there are accept, annotation, charset, iccprofile, quality, viewport and window";
                    return Err(Problem::bad_request("unknown-key", known));
                }
            }
        }
        Ok(wish)
    }

    /// The parameters of a thumbnail, which is small where nothing is said.
    ///
    /// # Errors
    ///
    /// As [`Wish::read`].
    pub(crate) fn of_thumbnail(uri: &Uri) -> Result<Self, Problem> {
        let small = Viewport { columns: THUMBNAIL, rows: THUMBNAIL, region: None };
        let wish = Self::read(uri)?;
        Ok(Self { viewport: wish.viewport.or(Some(small)), ..wish })
    }
}

/// 400 `invalid-value`.
pub(crate) fn invalid(detail: &str) -> Problem {
    Problem::bad_request("invalid-value", detail)
}

/// 1 to 100.
pub(crate) fn quality(value: &str) -> Result<u8, Problem> {
    let quality = value.parse().ok().filter(|quality| (1..=100).contains(quality));
    quality.ok_or_else(|| invalid("quality is a whole number from 1 to 100"))
}

/// `patient`, `technique`, or both (8.3.5.1.1).
pub(crate) fn annotation(value: &str) -> Result<Annotation, Problem> {
    let mut annotation = Annotation::default();
    for word in value.split(',') {
        match word.trim() {
            "patient" => annotation.has_patient = true,
            "technique" => annotation.has_technique = true,
            _ => return Err(invalid("annotation is patient, technique, or both")),
        }
    }
    Ok(annotation)
}

/// Pictures carry no profile, whichever is asked for: all take them for sRGB (8.3.5.1.5).
fn icc_profile(value: &str) -> Result<(), Problem> {
    match value {
        "no" | "yes" | "srgb" | "adobergb" | "rommrgb" => Ok(()),
        _ => Err(invalid("iccprofile is no, yes, srgb, adobergb or rommrgb")),
    }
}

/// `centre,width,function` (8.3.5.1.4).
fn window(value: &str) -> Option<Window> {
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let [center, width, rest @ ..] = parts.as_slice() else { return None };
    let function = match rest {
        [] | ["linear"] => VoiFunction::Linear,
        ["linear-exact"] => VoiFunction::LinearExact,
        ["sigmoid"] => VoiFunction::Sigmoid,
        _ => return None,
    };
    possible_window(center.parse().ok()?, width.parse().ok()?, function)
}

/// A window that has a width (PS3.3, section C.11.2.1.2).
pub(crate) fn possible_window(center: f64, width: f64, function: VoiFunction) -> Option<Window> {
    let least = if function == VoiFunction::Linear { 1.0 } else { f64::MIN_POSITIVE };
    let is_possible = center.is_finite() && width.is_finite() && width >= least;
    is_possible.then_some(Window { center, width, function })
}

fn viewport_or_problem(value: &str) -> Result<Viewport, Problem> {
    let wanted = || {
        invalid(&format!(
            "viewport is columns,rows, each from 1 to {EDGE_MAX}, and behind them left,top,columns,rows of what is \
             shown, the last two negative where it is turned over"
        ))
    };
    viewport(value).ok_or_else(wanted)
}

/// `vw,vh` or `vw,vh,sx,sy,sw,sh` (8.3.5.1.3); what is left out of the last four is the frame's own.
fn viewport(value: &str) -> Option<Viewport> {
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let edge = |text: &str| text.parse().ok().filter(|edge| (1..=EDGE_MAX).contains(edge));
    let [columns, rows, source @ ..] = parts.as_slice() else { return None };
    let (columns, rows) = (edge(columns)?, edge(rows)?);
    let region = match source {
        [] => None,
        [left, top, width, height] => Some(region([left, top, width, height])?),
        _ => return None,
    };
    Some(Viewport { columns, rows, region })
}

fn region([left, top, width, height]: [&str; 4]) -> Option<Region> {
    // decimals are allowed; a picture has whole pixels
    let number = |text: &str, absent: f64| match text {
        "" => Some(absent),
        text => text.parse::<f64>().ok().filter(|it| it.is_finite()),
    };
    let (left, top) = (number(left, 0.0)?, number(top, 0.0)?);
    let most = f64::from(u32::MAX);
    let (width, height) = (number(width, most)?, number(height, most)?);
    let edge = |edge: f64| (edge.abs().round() as u32).max(1);
    (left >= 0.0 && top >= 0.0 && width != 0.0 && height != 0.0).then(|| Region {
        left: left.round() as u32,
        top: top.round() as u32,
        columns: edge(width),
        rows: edge(height),
        is_mirrored: width < 0.0,
        is_upside_down: height < 0.0,
    })
}

/// `left,top,right,bottom` as parts of the whole, each from 0 to 1 (WADO-URI, section 9.4.1.2.3), of a frame of these
/// columns and rows.
pub(crate) fn region_of_parts(value: &str, columns: u32, rows: u32) -> Option<Region> {
    let parts: Option<Vec<f64>> = value.split(',').map(|text| text.trim().parse().ok()).collect();
    let [left, top, right, bottom] = *parts?.as_slice() else { return None };
    let is_within =
        0.0 <= left && left < right && right <= 1.0 && 0.0 <= top && top < bottom && bottom <= 1.0;
    let at = |part: f64, edge: u32| (part * f64::from(edge)).round() as u32;
    let (left, top) = (is_within.then(|| at(left, columns))?, at(top, rows));
    Some(Region {
        left,
        top,
        columns: at(right, columns).saturating_sub(left).max(1),
        rows: at(bottom, rows).saturating_sub(top).max(1),
        is_mirrored: false,
        is_upside_down: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wish, &'static str> {
        Wish::read(&format!("/rendered?{query}").parse().unwrap()).map_err(|problem| problem.code())
    }

    #[test]
    fn window_viewport_and_quality_are_read_and_checked() {
        let wish = read("window=40,400,linear&viewport=256,128&quality=75&annotation=patient&iccprofile=no")
            .unwrap();
        let window = Window { center: 40.0, width: 400.0, function: VoiFunction::Linear };
        let viewport = Viewport { columns: 256, rows: 128, region: None };
        let annotation = Annotation { has_patient: true, has_technique: false };
        assert_eq!(wish, Wish { window: Some(window), viewport: Some(viewport), quality: 75, annotation });
        for bad in [
            "window=40",
            "window=40,0",
            "window=nan,1",
            "window=1,2,cubic",
            "viewport=0,1",
            "viewport=99999,1",
            "viewport=1",
            "viewport=1,1,2",
            "viewport=1,1,-1,0,5,5",
            "viewport=1,1,0,0,0,5",
            "quality=0",
            "quality=101",
            "annotation=everything",
            "iccprofile=mine",
        ] {
            assert_eq!(read(bad), Err("invalid-value"), "{bad}");
        }
        assert_eq!(read("colour=red"), Err("unknown-key"));
    }

    #[test]
    fn a_negative_edge_turns_the_region_over() {
        let region = read("viewport=10,10,1.4,2,-30,40").unwrap().viewport.unwrap().region.unwrap();
        let expected =
            Region { left: 1, top: 2, columns: 30, rows: 40, is_mirrored: true, is_upside_down: false };
        assert_eq!(region, expected);
        let rest = read("viewport=10,10,5,6,,").unwrap().viewport.unwrap().region.unwrap();
        assert_eq!((rest.left, rest.top, rest.columns, rest.rows), (5, 6, u32::MAX, u32::MAX));
    }

    #[test]
    fn parts_of_the_whole_become_pixels() {
        let region = region_of_parts("0.25,0,0.75,0.5", 400, 200).unwrap();
        assert_eq!((region.left, region.top, region.columns, region.rows), (100, 0, 200, 100));
        for bad in ["0,0,1", "0.5,0,0.5,1", "0,0,1.1,1", "a,0,1,1", "-1,0,1,1"] {
            assert_eq!(region_of_parts(bad, 400, 200), None, "{bad}");
        }
    }
}
