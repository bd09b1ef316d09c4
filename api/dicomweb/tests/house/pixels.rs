//! Metadata, frames and pictures of stored instances.

use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use serde_json::json;

use super::support::{Image, RLE, file, on_each};

/// High-Throughput JPEG 2000, which is stored and given back, and not written here.
const HTJ2K: &str = "1.2.840.10008.1.2.4.201";

pub fn multi_frame() -> Image {
    let frames = (0..3_u8).map(|frame| std::array::from_fn(|index| frame * 50 + index as u8)).collect();
    Image { frames, ..Image::new("1.2.3.1.1") }
}

#[tokio::test]
async fn metadata_is_the_header_without_pixels_however_long_it_is() {
    on_each(async |house| {
        let small = Image::new("1.2.3.1.1");
        // longer than the first look at a compressed instance, and full of what looks like pixel data
        let long = Image { ballast: 700_000, number: 2, ..Image::new("1.2.3.1.2") };
        assert_eq!(house.store("/studies", &[small.plain(), long.compressed()]).await.status, 200);
        for path in ["/studies/1.2.3/metadata", "/studies/1.2.3/series/1.2.3.1/metadata"] {
            let answer = house.accepting(path, "application/dicom+json").await;
            assert_eq!(answer.header("content-type"), "application/dicom+json");
            let sets = answer.json();
            assert_eq!(sets.as_array().unwrap().len(), 2);
            assert_eq!(sets[0]["00100010"]["Value"], json!([{"Alphabetic": "Muster^Ada"}]));
            assert_eq!(sets[0]["00200013"], json!({"vr": "IS", "Value": [1]}));
            assert_eq!(sets[1]["00083002"]["Value"], json!([RLE]));
            assert_eq!(sets[1]["00280010"]["Value"], json!([4]));
        }
        let one = &house.get(&format!("{}/metadata", long.path())).await.json()[0];
        let bulk = one["7FE00010"]["BulkDataURI"].as_str().unwrap();
        let bulk = bulk.strip_prefix("http://pacs:8080/dicom-web").unwrap();
        assert_eq!(house.get(bulk).await.parts().len(), 1);
        assert_eq!(house.get("/studies/9.9/metadata").await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn plain_frames_are_cut_out_of_the_pixel_data() {
    on_each(async |house| {
        let image = multi_frame();
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let frames = house.get(&format!("{}/frames/3,1", image.path())).await;
        assert_eq!(frames.header("content-length"), frames.body.len().to_string());
        let kind = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1".to_owned();
        let expected = [(kind.clone(), image.frames[2].to_vec()), (kind, image.frames[0].to_vec())];
        assert_eq!(frames.parts(), expected);
        let alone = house.accepting(&format!("{}/frames/2", image.path()), "application/octet-stream").await;
        assert_eq!(alone.body, image.frames[1]);
        for (list, status) in [("4", 404), ("0", 400), ("x", 400), ("1,4", 404)] {
            let refused = house.get(&format!("{}/frames/{list}", image.path())).await;
            assert_eq!(refused.status, status, "{list}");
        }
    })
    .await;
}

#[tokio::test]
async fn compressed_frames_come_as_stored_or_decoded_as_the_client_asks() {
    on_each(async |house| {
        let image = multi_frame();
        assert_eq!(house.store("/studies", &[image.compressed()]).await.status, 200);
        let path = format!("{}/frames/2", image.path());
        let part = async |accept: &str| house.accepting(&path, accept).await.parts().remove(0);

        let decoded = part(r#"multipart/related; type="application/octet-stream""#).await;
        assert_eq!(decoded.1, image.frames[1]);
        assert_eq!(part("*/*").await, decoded);
        let stored = Image::rle_frame(&image.frames[1]);
        let (kind, data) = part(r#"multipart/related; type="image/dicom-rle""#).await;
        assert_eq!((kind.as_str(), &data), ("image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5", &stored));
        // as OHIF asks
        let (kind, data) = part("multipart/related; type=application/octet-stream; transfer-syntax=*").await;
        assert_eq!(
            (kind.as_str(), &data),
            ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.5", &stored)
        );
        let other = r#"multipart/related; type="image/jphc""#;
        let refused = house.accepting(&path, other).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (406, "not-acceptable"));

        let (kind, data) = part(r#"multipart/related; type="image/jls""#).await;
        assert_eq!(kind, "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80");
        assert_eq!(data[..2], [0xFF, 0xD8], "ISO/IEC 14495-1, C.1.1: a start of image");
    })
    .await;
}

/// Decoded they would be RGB, and the metadata say otherwise.
#[tokio::test]
async fn colours_that_are_not_given_decoded_come_as_stored_where_anything_is_taken() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        let mut object = image.object();
        let palette = PrimitiveValue::from("PALETTE COLOR");
        object.put(DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, palette));
        let stored = Image::rle_frame(&image.frames[0]);
        let fragments = PixelFragmentSequence::new(Vec::<u32>::new(), vec![stored.clone()]);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::from(fragments)));
        assert_eq!(house.store("/studies", &[file(object, RLE)]).await.status, 200);
        for path in ["frames/1", "bulkdata/7FE00010"] {
            let path = format!("{}/{path}", image.path());
            let (kind, data) = house.accepting(&path, "*/*").await.parts().remove(0);
            assert_eq!(
                (kind.as_str(), &data),
                ("image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5", &stored)
            );
            let refused = house.accepting(&path, "application/octet-stream").await;
            assert_eq!((refused.status.as_u16(), refused.code().as_str()), (406, "not-acceptable"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_study_of_two_syntaxes_comes_in_part_where_one_is_asked_for() {
    on_each(async |house| {
        let (plain, compressed) = (Image::new("1.2.3.1.1"), Image::new("1.2.3.1.2"));
        assert_eq!(
            house.store("/studies", &[plain.plain(), compressed.compressed_in(HTJ2K)]).await.status,
            200
        );
        let whole = format!(r#"multipart/related; type="application/dicom"; transfer-syntax={HTJ2K}"#);
        let some = house.accepting("/studies/1.2.3", &whole).await;
        assert_eq!(some.status, 206, "no encoder of it is there");
        assert_eq!(some.parts().len(), 1);
        assert!(some.parts()[0].1 == compressed.compressed_in(HTJ2K));
    })
    .await;
}

#[tokio::test]
async fn a_picture_is_rendered_in_the_format_and_size_asked_for() {
    on_each(async |house| {
        let image = multi_frame();
        assert_eq!(house.store("/studies", &[image.compressed()]).await.status, 200);
        let jpeg = house.get(&format!("{}/rendered", image.path())).await;
        assert_eq!((jpeg.header("content-type"), &jpeg.body[..3]), ("image/jpeg", &[0xFF, 0xD8, 0xFF][..]));
        let path = format!("{}/frames/2/rendered?viewport=2,2&window=60,20,linear", image.path());
        let png = house.accepting(&path, "image/png").await;
        assert_eq!((png.header("content-type"), &png.body[1..4]), ("image/png", &b"PNG"[..]));
        // PNG (ISO/IEC 15948), 11.2.2: width and height stand at bytes 16 and 20
        assert_eq!((png.body[19], png.body[23]), (2, 2));
        assert_eq!(house.accepting(&path, "video/mp4").await.status, 406);
        assert_eq!(house.get(&format!("{}/rendered?window=1", image.path())).await.code(), "invalid-value");
        assert_eq!(house.get(&format!("{}/frames/9/rendered", image.path())).await.code(), "no-such-frame");
    })
    .await;
}

/// Implicit VR, big endian and deflated: PS3.5, annexes A.1, A.3 and A.5.
#[tokio::test]
async fn every_way_of_writing_gives_the_same_metadata_and_frames() {
    on_each(async |house| {
        let image = Image { ballast: 4_000, ..multi_frame() };
        let files = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"];
        for (index, syntax) in files.into_iter().enumerate() {
            let image = Image { instance: format!("1.2.3.1.{}", index + 1), ..image.clone() };
            assert_eq!(house.store("/studies", &[image.plain_in(syntax)]).await.status, 200, "{syntax}");
            let metadata = house.get(&format!("{}/metadata", image.path())).await.json();
            assert_eq!(metadata[0]["00280010"]["Value"], json!([4]), "{syntax}");
            assert_eq!(metadata[0]["00080018"]["Value"], json!([image.instance]), "{syntax}");
            let frames = house.get(&format!("{}/frames/2,3", image.path())).await;
            let data: Vec<Vec<u8>> = frames.parts().into_iter().map(|(_, data)| data).collect();
            assert_eq!(data, image.frames[1..], "{syntax}");
        }
    })
    .await;
}
