//! The Image Pixel Module: what the stored pixels are.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use part10::Part10;

use crate::PixelError;

/// Photometric Interpretation (0028,0004), as far as it is decoded here.
///
/// Source: PS3.3, section C.7.6.3.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interpretation {
    Monochrome1,
    Monochrome2,
    PaletteColor,
    Rgb,
    YbrFull,
    YbrFull422,
    YbrPartial,
    YbrPartial422,
    /// `YBR_ICT` and `YBR_RCT`: the codec itself turns them into RGB.
    YbrByCodec,
}

impl Interpretation {
    fn read(text: &str) -> Result<Self, PixelError> {
        Ok(match text {
            "MONOCHROME1" => Self::Monochrome1,
            "MONOCHROME2" => Self::Monochrome2,
            "PALETTE COLOR" => Self::PaletteColor,
            "RGB" => Self::Rgb,
            "YBR_FULL" => Self::YbrFull,
            "YBR_FULL_422" => Self::YbrFull422,
            "YBR_PARTIAL_422" | "YBR_PARTIAL_420" => Self::YbrPartial422,
            "YBR_PARTIAL" => Self::YbrPartial,
            "YBR_ICT" | "YBR_RCT" => Self::YbrByCodec,
            _ => return Err(PixelError::unsupported("the photometric interpretation is unknown")),
        })
    }

    /// Whether the value is one of the two grey ones.
    pub(crate) fn is_grey(self) -> bool {
        matches!(self, Self::Monochrome1 | Self::Monochrome2)
    }

    /// The value as the attribute has it; a codec's own colours as RGB.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Monochrome1 => "MONOCHROME1",
            Self::Monochrome2 => "MONOCHROME2",
            Self::PaletteColor => "PALETTE COLOR",
            Self::Rgb | Self::YbrByCodec => "RGB",
            Self::YbrFull => "YBR_FULL",
            Self::YbrFull422 => "YBR_FULL_422",
            Self::YbrPartial => "YBR_PARTIAL",
            Self::YbrPartial422 => "YBR_PARTIAL_422",
        }
    }

    fn samples_per_pixel(self) -> u8 {
        if self.is_grey() || self == Self::PaletteColor { 1 } else { 3 }
    }
}

/// The attributes of the Image Pixel Module, checked against one another.
///
/// Source: PS3.3, section C.7.6.3, and PS3.5, section 8.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImagePixel {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) samples_per_pixel: u8,
    pub(crate) bits_allocated: u8,
    pub(crate) bits_stored: u8,
    pub(crate) high_bit: u8,
    pub(crate) is_signed: bool,
    pub(crate) is_planar: bool,
    pub(crate) interpretation: Interpretation,
}

impl ImagePixel {
    /// Reads the module.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`] where an attribute is missing or out of range,
    /// [`PixelError::UnsupportedPixelFormat`] for forms that are not decoded.
    pub(crate) fn read(header: &InMemDicomObject) -> Result<Self, PixelError> {
        let (rows, columns) = edges(header)?;
        let text = part10::text(header, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        let interpretation = Interpretation::read(text.trim_matches(['\0', ' ']))?;
        let samples_per_pixel = number(header, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        if samples_per_pixel != u16::from(interpretation.samples_per_pixel()) {
            return Err(PixelError::malformed(
                "Samples per Pixel does not fit the photometric interpretation",
            ));
        }
        let bits_allocated = needed(header, tags::BITS_ALLOCATED, "Bits Allocated")?;
        if !matches!(bits_allocated, 1 | 8 | 16 | 32) {
            return Err(PixelError::unsupported(format!("{bits_allocated} bits allocated")));
        }
        let bits_stored = number(header, tags::BITS_STORED).unwrap_or(bits_allocated);
        if bits_stored == 0 || bits_stored > bits_allocated {
            return Err(PixelError::malformed("Bits Stored is out of range"));
        }
        let high_bit = number(header, tags::HIGH_BIT).unwrap_or(bits_stored - 1);
        if high_bit >= bits_allocated || high_bit + 1 < bits_stored {
            return Err(PixelError::malformed("High Bit is out of range"));
        }
        Ok(Self {
            rows,
            columns,
            samples_per_pixel: samples_per_pixel as u8,
            bits_allocated: bits_allocated as u8,
            bits_stored: bits_stored as u8,
            high_bit: high_bit as u8,
            is_signed: number(header, tags::PIXEL_REPRESENTATION) == Some(1),
            is_planar: samples_per_pixel > 1 && number(header, tags::PLANAR_CONFIGURATION) == Some(1),
            interpretation,
        })
    }

    /// Reads the module of an image of real numbers, each a double here; what only integers have is made up.
    ///
    /// Source: PS3.3, sections C.7.6.24 and C.7.6.25: one grey sample a pixel.
    ///
    /// # Errors
    ///
    /// As [`ImagePixel::read`].
    pub(crate) fn read_floats(header: &InMemDicomObject) -> Result<Self, PixelError> {
        let (rows, columns) = edges(header)?;
        let text = part10::text(header, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        let interpretation = Interpretation::read(&text)?;
        if !interpretation.is_grey() || number(header, tags::SAMPLES_PER_PIXEL).is_some_and(|it| it != 1) {
            return Err(PixelError::unsupported("colours of floating point"));
        }
        Ok(Self {
            rows,
            columns,
            samples_per_pixel: 1,
            bits_allocated: 64,
            bits_stored: 64,
            high_bit: 63,
            is_signed: true,
            is_planar: false,
            interpretation,
        })
    }

    /// Rows times columns.
    pub(crate) fn pixel_count(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.columns)
    }

    /// Samples of one frame.
    pub(crate) fn sample_count(&self) -> u64 {
        self.pixel_count() * u64::from(self.samples_per_pixel)
    }
}

/// Rows and Columns.
fn edges(header: &InMemDicomObject) -> Result<(u32, u32), PixelError> {
    let rows = needed(header, tags::ROWS, "Rows")?;
    let columns = needed(header, tags::COLUMNS, "Columns")?;
    if rows == 0 || columns == 0 {
        return Err(PixelError::malformed("Rows or Columns is zero"));
    }
    Ok((rows.into(), columns.into()))
}

fn needed(header: &InMemDicomObject, tag: Tag, name: &str) -> Result<u16, PixelError> {
    number(header, tag).ok_or_else(|| PixelError::malformed(format!("{name} is missing")))
}

/// Why an object has no Pixel Data: real numbers stand elsewhere, and are no samples.
pub(crate) fn without_pixel_data(object: &Part10) -> PixelError {
    match object.float_pixels() {
        Some(_) => PixelError::unsupported("floating-point pixels"),
        None => PixelError::NoPixels,
    }
}

/// The first value of an unsigned short, if the attribute is there and readable.
pub(crate) fn number(header: &InMemDicomObject, tag: Tag) -> Option<u16> {
    header.get(tag)?.to_int::<u16>().ok()
}

/// The numbers of a decimal string, up to the first that is none; empty where the attribute is absent.
pub(crate) fn decimals(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    let text = object.get(tag).and_then(|element| element.to_str().ok()).unwrap_or_default();
    let numbers = text.split('\\').map(|number| number.trim_matches(['\0', ' ']).parse::<f64>());
    numbers.map_while(|number| number.ok().filter(|number| number.is_finite())).collect()
}
