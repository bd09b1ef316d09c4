//! Pictures of every level, in every format.

use axum::body::Body;
use axum::http::Request;
use clinical::id::ClinicId;
use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use storage::records::instance::Instance;

use super::pixels::multi_frame;
use super::support::{Image, RLE, file, on_each};

fn two() -> [Image; 2] {
    [multi_frame(), Image { number: 2, ..Image::new("1.2.3.1.2") }]
}

#[tokio::test]
async fn a_study_and_a_series_are_rendered_picture_by_picture() {
    on_each(async |house| {
        let report = Image { frames: vec![[0; 16]], modality: "SR", ..Image::new("1.2.3.1.9") };
        let files = [two()[0].plain(), two()[1].compressed(), report.without_pixels()];
        assert_eq!(house.store("/studies", &files).await.status, 200);
        for path in ["/studies/1.2.3/rendered", "/studies/1.2.3/series/1.2.3.1/rendered"] {
            for (accept, kind) in
                [("*/*", "image/jpeg"), ("multipart/related; type=\"image/png\"", "image/png")]
            {
                let kinds: Vec<String> =
                    house.accepting(path, accept).await.parts().into_iter().map(|(kind, _)| kind).collect();
                assert_eq!(kinds, [kind; 4], "three frames of one, one of the other, none of the report");
            }
            assert_eq!(house.accepting(path, "image/jpeg").await.status, 406, "one part holds one picture");
        }
        let none = house.get(&format!("{}/rendered", report.path())).await;
        assert_eq!((none.status.as_u16(), none.code().as_str()), (406, "no-pixels"));
    })
    .await;
}

/// What is the house's fault is no reason to take an answer for whole; what is a frame's is.
#[tokio::test]
async fn a_picture_is_left_out_for_its_frames_sake_and_never_for_the_houses() {
    on_each(async |house| {
        let (first, second) = (Image::new("1.2.3.1.1"), Image { number: 2, ..Image::new("1.2.3.1.2") });
        let third = Image { number: 3, ..Image::new("1.2.3.1.3") };
        let mut object = third.object();
        let broken = PixelFragmentSequence::new(Vec::<u32>::new(), vec![vec![1, 0, 0, 0]]);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::from(broken)));
        let files = [first.plain(), second.plain(), file(object, RLE)];
        assert_eq!(house.store("/studies", &files).await.status, 200);
        let ask = async || {
            let request = Request::get("/dicom-web/studies/1.2.3/rendered").header("host", "pacs:8080");
            let request = request.header("authorization", "Bearer secret").body(Body::empty()).unwrap();
            house.try_send(request).await
        };
        let answer = ask().await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.parts().len()),
            (200, 2),
            "a frame that cannot be decoded"
        );
        let uid = second.instance.parse().unwrap();
        let mut rows = house.app.db.read().await.unwrap();
        let stored = Instance::by_uid(&mut rows, ClinicId::DEFAULT, &uid).await.unwrap().unwrap();
        house.app.archive.delete(&stored.blob_key).await.unwrap();
        assert!(ask().await.is_err(), "an archive that fails");
    })
    .await;
}

#[tokio::test]
async fn frames_that_follow_one_another_become_one_gif() {
    on_each(async |house| {
        let image = multi_frame();
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let moving = house.accepting(&format!("{}/rendered", image.path()), "image/gif").await;
        assert_eq!((moving.header("content-type"), &moving.body[..6]), ("image/gif", &b"GIF89a"[..]));
        // GIF89a, section 20: each image begins with a comma, here of 4 by 4 pixels at the upper left corner
        let descriptor = [0x2C, 0, 0, 0, 0, 4, 0, 4, 0];
        let pictures = moving.body.windows(9).filter(|window| *window == descriptor).count();
        assert_eq!(pictures, 3);
        let still = house.accepting(&format!("{}/frames/1/rendered", image.path()), "image/gif").await;
        assert_eq!(still.body.windows(9).filter(|window| *window == descriptor).count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_thumbnail_stands_for_every_level() {
    on_each(async |house| {
        let files = two().map(|image| image.plain());
        assert_eq!(house.store("/studies", &files).await.status, 200);
        let instance = two()[0].path();
        for path in [
            "/studies/1.2.3".to_owned(),
            "/studies/1.2.3/series/1.2.3.1".to_owned(),
            instance.clone(),
            format!("{instance}/frames/2"),
        ] {
            let small = house.accepting(&format!("{path}/thumbnail?viewport=2,2"), "image/png").await;
            assert_eq!((small.status.as_u16(), small.header("content-type")), (200, "image/png"), "{path}");
            let picture = image::load_from_memory(&small.body).unwrap();
            assert_eq!((picture.width(), picture.height()), (2, 2));
        }
        assert_eq!(house.get(&format!("{instance}/frames/9/thumbnail")).await.status, 404);
    })
    .await;
}

/// PS3.18, section 8.3.5.1.3: the last four numbers choose a part of the frame, negative ones turn it over.
#[tokio::test]
async fn a_viewport_shows_the_part_that_is_asked_for() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let shades = async |viewport: &str| {
            let path = format!("{}/rendered?viewport={viewport}", image.path());
            let answer = house.accepting(&path, "image/png").await;
            image::load_from_memory(&answer.body).unwrap().to_luma8().into_raw()
        };
        assert_eq!(shades("4,4,1,0,2,2").await, [16, 32, 80, 96]);
        assert_eq!(shades("4,4,1,0,-2,2").await, [32, 16, 96, 80]);
        assert_eq!(shades("4,4,3,3,,").await, [240]);
    })
    .await;
}

#[tokio::test]
async fn an_annotation_is_burnt_in_where_it_is_asked_for() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let path = format!("{}/rendered", image.path());
        let plain = house.accepting(&path, "image/png").await.body;
        for words in ["patient", "technique", "patient,technique"] {
            let annotated = house.accepting(&format!("{path}?annotation={words}"), "image/png").await;
            assert_eq!(annotated.status, 200);
            assert!(words == "technique" || annotated.body != plain, "{words}");
        }
        assert_eq!(house.get(&format!("{path}?annotation=everything")).await.code(), "invalid-value");
    })
    .await;
}

/// Number of Frames (0028,0008) is an IS, of at most 2^31 - 1 (PS3.5, table 6.2-1).
#[tokio::test]
async fn frames_that_a_small_file_only_claims_are_not_listed() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        let mut object = image.object();
        object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, PrimitiveValue::from("2147483647")));
        let fragments =
            PixelFragmentSequence::new(Vec::<u32>::new(), vec![Image::rle_frame(&image.frames[0])]);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::from(fragments)));
        assert_eq!(house.store("/studies", &[file(object, RLE)]).await.status, 200);
        let several = r#"multipart/related; type="image/jpeg""#;
        for path in ["/studies/1.2.3/rendered", &format!("{}/rendered", image.path())] {
            let refused = house.accepting(path, several).await;
            assert_eq!((refused.status.as_u16(), refused.code().as_str()), (406, "too-large"), "{path}");
        }
        let refused = house.get(&format!("{}/bulkdata/7FE00010", image.path())).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "invalid-frame-list"));
    })
    .await;
}
