//! The same object in another transfer syntax.

use std::io::Write;

use bytes::Bytes;
use clinical::uid::TransferSyntaxUid;
use dicom_core::VR;
use dicom_core::header::Tag;
use dicom_dictionary_std::tags;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use part10::{NewElement, NewValue, Part10, Part10Error, PixelDataAt, VrForm, file_with_meta, text};

use crate::containers::Containers;
use crate::decode::joined;
use crate::decode_pool::DecodePool;
use crate::encode::{EncodeError, Encoder};
use crate::image_pixel::ImagePixel;
use crate::jpeg_header::Segments;
use crate::{PixelError, PixelLimits};

const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// The transfer syntaxes that always lose something; the last is JPEG packed anew (PS3.5, section A.4.12).
const LOSSY: [&str; 3] = ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.111"];
/// JPEG-LS that may be near-lossless: its scans say which it is.
const JPEG_LS_NEAR: &str = "1.2.840.10008.1.2.4.81";
/// JPEG 2000, its high-throughput form and JPEG XL where they may have lost something: no codestream can prove that
/// it has not.
const MAYBE_LOSSY: [&str; 3] =
    ["1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.4.112"];

/// The transfer syntaxes that [`transcode`] writes: Implicit and Explicit VR Little Endian, Deflated, RLE Lossless,
/// JPEG Baseline (8 bits), JPEG Lossless (first-order prediction), JPEG-LS Lossless, JPEG 2000 Lossless.
pub const ENCODERS: &[&str] = &[
    IMPLICIT_LITTLE,
    EXPLICIT_LITTLE,
    DEFLATED,
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
];

/// Why an object did not come in another transfer syntax.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// Nothing here writes that transfer syntax.
    #[error("transfer syntax {0} cannot be written")]
    UnsupportedTransferSyntax(String),
    /// That transfer syntax cannot hold these pixels.
    #[error("the transfer syntax cannot hold the pixels: {0}")]
    NotRepresentable(&'static str),
    /// The stored pixels cannot be decoded.
    #[error(transparent)]
    Pixels(#[from] PixelError),
    /// The data set cannot be written again.
    #[error("the object cannot be written again: {0}")]
    File(#[from] Part10Error),
    /// The encoder gave up.
    #[error("the encoder failed: {0}")]
    EncoderFailed(String),
}

impl TranscodeError {
    /// The stable code, as problem documents show it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnsupportedTransferSyntax(_) => "unsupported-transfer-syntax",
            Self::NotRepresentable(_) => "not-representable",
            Self::Pixels(error) => error.code(),
            Self::File(error) => error.code(),
            Self::EncoderFailed(_) => "encoder-failed",
        }
    }
}

impl From<EncodeError> for TranscodeError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::NotRepresentable(what) => Self::NotRepresentable(what),
            EncodeError::Failed(what) => Self::EncoderFailed(what),
        }
    }
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Native(VrForm),
    Deflated,
    Encapsulated(Encoder),
}

impl Target {
    fn of(transfer_syntax: &TransferSyntaxUid) -> Result<Self, TranscodeError> {
        let uid = transfer_syntax.as_str();
        match uid {
            IMPLICIT_LITTLE => return Ok(Self::Native(VrForm::Implicit)),
            EXPLICIT_LITTLE => return Ok(Self::Native(VrForm::Explicit)),
            DEFLATED => return Ok(Self::Deflated),
            _ => {}
        }
        let unsupported = || TranscodeError::UnsupportedTransferSyntax(uid.into());
        Encoder::of(uid).map(Self::Encapsulated).ok_or_else(unsupported)
    }
}

/// Whether [`transcode`] writes `to` at all; an object may still not fit in it.
pub fn can_encode(to: &TransferSyntaxUid) -> bool {
    ENCODERS.contains(&to.as_str())
}

/// The whole file, File Meta Information included, in transfer syntax `to`; the file as it is where it is written so
/// already.
///
/// Photometric Interpretation, Planar Configuration and the attributes of lossy compression follow the pixels; the
/// SOP Instance UID stays. Blocks while it works; foreign decoders run in `pool`.
///
/// Source: PS3.5, sections 8.2 and A; PS3.3, section C.7.6.1.1.5.
///
/// # Errors
///
/// [`TranscodeError::UnsupportedTransferSyntax`] and [`TranscodeError::NotRepresentable`] where `to` is not possible,
/// [`TranscodeError::Pixels`] where the stored pixels cannot be decoded: all three mean 406 over HTTP.
pub fn transcode(
    file: &Part10,
    to: &TransferSyntaxUid,
    limits: &PixelLimits,
    pool: &DecodePool,
) -> Result<Bytes, TranscodeError> {
    let target = Target::of(to)?;
    if file.transfer_syntax() == to {
        return Ok(file.file().clone());
    }
    let changes = match (target, file.pixel_data()) {
        (Target::Encapsulated(_), None) if file.float_pixels().is_some() => return Err(of_real_numbers()),
        (Target::Encapsulated(encoder), _) => encapsulated(file, encoder, limits, pool)?,
        (_, Some(PixelDataAt::Encapsulated { .. })) => native(file, limits, pool)?,
        _ => Vec::new(),
    };
    let form = if target == Target::Native(VrForm::Implicit) { VrForm::Implicit } else { VrForm::Explicit };
    let mut data_set = file.rewritten(form, changes)?;
    let mut whole = meta(file, to)?;
    if target == Target::Deflated {
        let mut deflater = DeflateEncoder::new(whole, Compression::default());
        let deflated = deflater.write_all(&data_set).and_then(|()| deflater.finish());
        whole = deflated.map_err(Part10Error::Io)?;
        if whole.len() % 2 == 1 {
            whole.push(0);
        }
    } else {
        whole.append(&mut data_set);
    }
    Ok(whole.into())
}

/// Frame `index`, counted from 0, in transfer syntax `to`: a codestream, or native little-endian bytes.
///
/// # Errors
///
/// As [`transcode`]; [`PixelError::MalformedPixels`] beyond the last frame.
pub fn encode_frame(
    file: &Part10,
    index: u32,
    to: &TransferSyntaxUid,
    limits: &PixelLimits,
    pool: &DecodePool,
) -> Result<Vec<u8>, TranscodeError> {
    let target = Target::of(to)?;
    if index >= file.frame_count() {
        return Err(PixelError::malformed("there is no such frame").into());
    }
    let is_encapsulated = matches!(file.pixel_data(), Some(PixelDataAt::Encapsulated { .. }));
    if is_encapsulated && file.transfer_syntax() == to {
        return Ok(joined(file.encapsulated_frame(index)?).to_vec());
    }
    if file.float_pixels().is_some() {
        return Err(of_real_numbers());
    }
    let containers = Containers::open(file, limits, pool)?;
    let form = containers.form();
    match target {
        Target::Encapsulated(encoder) => Ok(encoder.encode(containers.frame(index)?, form)?.stream),
        _ if form.bits_allocated == 1 => Ok(packed(&containers.frame(index)?)),
        _ => Ok(containers.frame(index)?),
    }
}

/// Floating-point pixels are never encapsulated (PS3.5, section A.4).
fn of_real_numbers() -> TranscodeError {
    TranscodeError::NotRepresentable("floating-point pixels")
}

/// What changes where compressed pixels become native.
fn native(file: &Part10, limits: &PixelLimits, pool: &DecodePool) -> Result<Vec<NewElement>, TranscodeError> {
    let containers = Containers::open(file, limits, pool)?;
    let form = *containers.form();
    let mut pixels = Vec::new();
    for index in 0..file.frame_count() {
        pixels.append(&mut containers.frame(index)?);
    }
    if form.bits_allocated == 1 {
        pixels = packed(&pixels);
    }
    let vr = if form.bits_allocated <= 8 { VR::OB } else { VR::OW };
    let mut changes = described(form.interpretation.name(), &form, false);
    changes.push(element(tags::PIXEL_DATA, vr, pixels));
    mark_lossy(file, None, &mut changes);
    Ok(changes)
}

/// What changes where pixels are compressed by `encoder`.
fn encapsulated(
    file: &Part10,
    encoder: Encoder,
    limits: &PixelLimits,
    pool: &DecodePool,
) -> Result<Vec<NewElement>, TranscodeError> {
    if encoder != Encoder::Rle && has_embedded_overlay(file) {
        return Err(TranscodeError::NotRepresentable("overlays in unused bits of the pixels"));
    }
    let containers = Containers::open(file, limits, pool)?;
    let form = *containers.form();
    let count = file.frame_count();
    let mut frames = Vec::with_capacity(count as usize);
    let mut interpretation = form.interpretation.name();
    for index in 0..count {
        let encoded = encoder.encode(containers.frame(index)?, &form)?;
        interpretation = encoded.interpretation;
        frames.push(encoded.stream);
    }
    let compressed: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
    let native = form.sample_count() * u64::from(form.bits_allocated / 8) * u64::from(count);
    let ratio = encoder.loses().then(|| native as f64 / compressed.max(1) as f64);
    let mut changes = described(interpretation, &form, encoder == Encoder::Rle);
    if encoder != Encoder::Rle {
        let high_bit = u16::from(form.bits_stored - 1).to_le_bytes().to_vec();
        changes.push(element(tags::HIGH_BIT, VR::US, high_bit));
    }
    changes.push(NewElement { tag: tags::PIXEL_DATA, vr: VR::OB, value: NewValue::Frames(frames) });
    mark_lossy(file, ratio, &mut changes);
    Ok(changes)
}

/// Whether an overlay lies in unused bits of the pixels: it has a bit position and no data (retired; PS3.3 of 2004,
/// section C.9.2). Overlays have the even groups from 6000 on.
fn has_embedded_overlay(file: &Part10) -> bool {
    let header = file.header();
    (0x6000..=0x60FF)
        .step_by(2)
        .any(|group| header.get(Tag(group, 0x0102)).is_some() && header.get(Tag(group, 0x3000)).is_none())
}

fn element(tag: Tag, vr: VR, value: Vec<u8>) -> NewElement {
    NewElement { tag, vr, value: NewValue::Bytes(value) }
}

/// What the Image Pixel Module says of the new pixels; offset tables of the old ones go.
fn described(interpretation: &str, form: &ImagePixel, is_planar: bool) -> Vec<NewElement> {
    let absent = |tag| NewElement { tag, vr: VR::OV, value: NewValue::Absent };
    let mut changes = vec![
        absent(tags::EXTENDED_OFFSET_TABLE),
        absent(tags::EXTENDED_OFFSET_TABLE_LENGTHS),
        absent(tags::ENCAPSULATED_PIXEL_DATA_VALUE_TOTAL_LENGTH),
    ];
    changes.push(element(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, interpretation.into()));
    if form.samples_per_pixel > 1 {
        let planar = u16::from(is_planar).to_le_bytes().to_vec();
        changes.push(element(tags::PLANAR_CONFIGURATION, VR::US, planar));
    }
    changes
}

/// Lossy Image Compression (0028,2110) with ratio and method: of this compression by its `ratio`, or of the source's
/// where the object is silent about it (PS3.3, section C.7.6.1.1.5).
fn mark_lossy(file: &Part10, ratio: Option<f64>, changes: &mut Vec<NewElement>) {
    if ratio.is_none() && !was_lossy(file) {
        return;
    }
    changes.push(element(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, b"01".to_vec()));
    let Some(ratio) = ratio else { return };
    let appended = |tag, value: String| match text(file.header(), tag) {
        Some(before) => format!("{before}\\{value}"),
        None => value,
    };
    let ratio = appended(tags::LOSSY_IMAGE_COMPRESSION_RATIO, format!("{ratio:.2}"));
    let method = appended(tags::LOSSY_IMAGE_COMPRESSION_METHOD, "ISO_10918_1".into());
    changes.push(element(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, ratio.into()));
    changes.push(element(tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, method.into()));
}

/// Whether the stored pixels are to be called lossy: by the transfer syntax, or, where it leaves that open and the
/// object is silent, unless the codestreams show that they are not.
fn was_lossy(file: &Part10) -> bool {
    let syntax = file.transfer_syntax().as_str();
    if LOSSY.contains(&syntax) {
        return true;
    }
    let is_silent = text(file.header(), tags::LOSSY_IMAGE_COMPRESSION).is_none_or(|said| said.is_empty());
    let is_near = |index| file.encapsulated_frame(index).is_ok_and(|frame| is_near_lossless(&joined(frame)));
    is_silent
        && (MAYBE_LOSSY.contains(&syntax) || (syntax == JPEG_LS_NEAR && (0..file.frame_count()).any(is_near)))
}

/// Whether the first scan of a JPEG-LS stream lets samples differ: NEAR stands behind its components (T.87, section
/// C.2.3).
fn is_near_lossless(stream: &[u8]) -> bool {
    let Ok(mut segments) = Segments::new(stream) else { return false };
    loop {
        match segments.next() {
            Ok((0xDA, body)) => {
                let near = body.first().and_then(|count| body.get(1 + 2 * usize::from(*count)));
                return near.is_some_and(|near| *near > 0);
            }
            Ok((0xD9, _)) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

/// The File Meta Information of the new file.
fn meta(file: &Part10, to: &TransferSyntaxUid) -> Result<Vec<u8>, TranscodeError> {
    let meta = file.scan().meta();
    let nameless =
        |_| Part10Error::Malformed { at: 0, what: "the object has no valid SOP Class or Instance UID" };
    let uid = |tag, of_meta: &str| text(file.header(), tag).unwrap_or_else(|| of_meta.to_owned());
    let sop_class = uid(tags::SOP_CLASS_UID, &meta.media_storage_sop_class_uid).parse().map_err(nameless)?;
    let sop_instance =
        uid(tags::SOP_INSTANCE_UID, &meta.media_storage_sop_instance_uid).parse().map_err(nameless)?;
    let source = meta.source_application_entity_title.as_deref();
    Ok(file_with_meta(&sop_class, &sop_instance, to, source))
}

/// Bytes of 0 and 1 as bits, the first in the least significant (PS3.5, section 8.1.1).
fn packed(bits: &[u8]) -> Vec<u8> {
    let byte = |bits: &[u8]| bits.iter().rev().fold(0, |all, bit| all << 1 | (bit & 1));
    bits.chunks(8).map(byte).collect()
}
