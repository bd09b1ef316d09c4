//! Instances in another transfer syntax than they are stored in.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;

use super::pixels::multi_frame;
use super::support::{EXPLICIT_LE, Image, RLE, file, on_each};

fn asking(syntax: &str) -> String {
    format!("application/dicom; transfer-syntax={syntax}")
}

/// PS3.18, section 8.7.3.5.2.
#[tokio::test]
async fn an_instance_comes_in_the_transfer_syntax_that_is_asked_for() {
    on_each(async |house| {
        let image = multi_frame();
        assert_eq!(house.store("/studies", &[image.compressed()]).await.status, 200);
        let stored = house.accepting(&image.path(), &asking("*")).await;
        assert!(stored.body == image.compressed());
        let plain = house.accepting(&image.path(), &asking(EXPLICIT_LE)).await;
        assert_eq!(
            (plain.status.as_u16(), plain.header("content-type")),
            (200, asking(EXPLICIT_LE).as_str())
        );
        assert!(plain.body.ends_with(&image.frames.concat()), "the pixels, decoded, stand last");
        assert_eq!(plain.header("content-length"), plain.body.len().to_string());
        let parts = house
            .accepting("/studies/1.2.3", &format!("multipart/related; type={}", asking(EXPLICIT_LE)))
            .await;
        assert_eq!(parts.status, 200, "a type that is not quoted");
        let quoted = format!(r#"multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT_LE}"#);
        let parts = house.accepting("/studies/1.2.3", &quoted).await;
        assert!(parts.parts() == [(asking(EXPLICIT_LE), plain.body.clone())]);

        let refused = house.accepting(&image.path(), &asking("1.2.840.10008.1.2.4.201")).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (406, "not-acceptable"));
        let either = format!("{};q=0.1, {};q=0.9", asking(RLE), asking("1.2.840.10008.1.2.4.201"));
        assert!(house.accepting(&image.path(), &either).await.body == image.compressed());
    })
    .await;
}

/// As browsers, dicomweb-client and curl ask.
#[tokio::test]
async fn every_common_way_of_asking_is_answered() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
        for accept in
            ["*/*", "", browser, r#"multipart/related; type="application/dicom"; transfer-syntax=*"#]
        {
            let answer = house.accepting("/studies/1.2.3", accept).await;
            assert!(answer.parts()[0].1 == image.plain(), "{accept}");
        }
        let in_query =
            house.get(&format!("{}?accept=application/dicom;transfer-syntax=*", image.path())).await;
        assert!(in_query.body == image.plain());
        let picture =
            house.accepting(&format!("{}/rendered", image.path()), "image/avif,image/*;q=0.8").await;
        assert_eq!(picture.header("content-type"), "image/jpeg");
        let json = house.get("/studies/1.2.3/metadata?accept=application/dicom+json").await;
        assert_eq!(json.header("content-type"), "application/dicom+json");
        let frame = house.accepting(&format!("{}/frames/1", image.path()), browser).await;
        assert_eq!(frame.parts()[0].1, image.frames[0]);
    })
    .await;
}

/// A document has no pixels: a transfer syntax of compressed ones says nothing of it, and it is never left out.
#[tokio::test]
async fn what_has_no_pixels_comes_with_its_study_whatever_its_images_are_asked_in() {
    on_each(async |house| {
        let (image, document) = (multi_frame(), Image::new("1.2.3.1.9"));
        assert_eq!(house.store("/studies", &[image.plain(), document.without_pixels()]).await.status, 200);
        let asked = format!(r#"multipart/related; type="application/dicom"; transfer-syntax={RLE}"#);
        let answer = house.accepting("/studies/1.2.3", &asked).await;
        assert_eq!(answer.status, 200);
        let mut kinds: Vec<String> = answer.parts().into_iter().map(|(kind, _)| kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, [asking(EXPLICIT_LE), asking(RLE)]);
    })
    .await;
}

/// JPEG Baseline holds 8 bits (PS3.5, section 8.2.1): this frame of 16 bits is refused before a status is told.
#[tokio::test]
async fn what_a_transfer_syntax_cannot_hold_is_refused_and_not_left_out() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        let mut object = image.object();
        for (tag, bits) in [(tags::BITS_ALLOCATED, 16_u16), (tags::BITS_STORED, 16), (tags::HIGH_BIT, 15)] {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(bits)));
        }
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U8(vec![7; 32].into())));
        assert_eq!(house.store("/studies", &[file(object, EXPLICIT_LE)]).await.status, 200);
        let baseline = "1.2.840.10008.1.2.4.50";
        let asked = format!(r#"multipart/related; type="application/dicom"; transfer-syntax={baseline}"#);
        assert_eq!(house.accepting("/studies/1.2.3", &asked).await.status, 406);
    })
    .await;
}
