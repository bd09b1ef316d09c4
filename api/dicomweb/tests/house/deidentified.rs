//! What leaves the house without what tells who the patient is: PS3.15, annex E; PS3.18, section 9.1.

use axum::http::Method;
use clinical::id::ClinicId;
use clinical::role::Role;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, from_reader};
use storage::records::member::Position;

use super::pixels::multi_frame;
use super::support::{EXPLICIT_LE, House, Image, RLE, file, on_each};

const SINGLE: &str = "application/dicom";
const SEVERAL: &str = r#"multipart/related; type="application/dicom""#;

fn opened(bytes: &[u8]) -> DefaultDicomObject {
    from_reader(&bytes[128..]).unwrap()
}

fn text(object: &DefaultDicomObject, tag: dicom_core::Tag) -> String {
    object
        .element(tag)
        .map(|it| it.to_str().unwrap().trim_end_matches([' ', '\0']).to_owned())
        .unwrap_or_default()
}

/// Nothing of the names, numbers and UIDs of an image stands anywhere in an answer.
fn tells_nobody(body: &[u8], image: &Image) -> bool {
    let of = |text: &str| memchr::memmem::find(body, text.as_bytes()).is_none();
    of(image.name) && of("A-1") && of(&format!("{}\0", image.instance)) && of("pacs:8080")
}

#[tokio::test]
async fn a_study_leaves_without_its_patient_and_stays_together() {
    on_each(async |house| {
        let images = [multi_frame(), Image::new("1.2.3.1.9")];
        assert_eq!(house.store("/studies", &[images[0].compressed(), images[1].plain()]).await.status, 200);
        let path = "/studies/1.2.3?deidentify=basic&project=trial-7";
        let answer = house.accepting(path, SEVERAL).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("warning").starts_with("299 medilink"), "that some may be left out is said");
        assert!(images.iter().all(|image| tells_nobody(&answer.body, image)));
        let parts: Vec<_> = answer.parts().iter().map(|(_, bytes)| opened(bytes)).collect();
        let [first, second] = parts.as_slice() else { panic!("{} parts", parts.len()) };
        assert_eq!(text(first, tags::PATIENT_IDENTITY_REMOVED), "YES");
        for tag in [tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID, tags::PATIENT_ID] {
            assert_eq!(text(first, tag), text(second, tag), "{tag}");
        }
        assert_ne!(text(first, tags::STUDY_INSTANCE_UID), "1.2.3");
        assert_ne!(text(first, tags::SOP_INSTANCE_UID), text(second, tags::SOP_INSTANCE_UID));

        let one = |project: &str| format!("{}?deidentify=basic&project={project}", images[1].path());
        let again = house.accepting(&one("trial-7"), SINGLE).await;
        assert_eq!(again.header("content-location"), "", "where it was found would tell what it was");
        let study = text(&opened(&again.body), tags::STUDY_INSTANCE_UID);
        assert_eq!(study, text(first, tags::STUDY_INSTANCE_UID), "the same project another time");
        let other = house.accepting(&one("trial-8"), SINGLE).await;
        assert_ne!(study, text(&opened(&other.body), tags::STUDY_INSTANCE_UID), "another project");
        assert_ne!(again.header("etag"), other.header("etag"));
        let asked = [("accept", SINGLE), ("if-none-match", again.header("etag"))];
        assert_eq!(house.get_with(&one("trial-7"), &asked).await.status, 304);
    })
    .await;
}

#[tokio::test]
async fn options_and_transfer_syntaxes_are_heard() {
    on_each(async |house| {
        let image = multi_frame();
        assert_eq!(house.store("/studies", &[image.compressed()]).await.status, 200);
        let asked = format!("{}?deidentify=uids,full-dates", image.path());
        let plain = house.accepting(&asked, &format!("{SINGLE}; transfer-syntax={EXPLICIT_LE}")).await;
        let object = opened(&plain.body);
        assert_eq!(text(&object, tags::SOP_INSTANCE_UID), image.instance, "UIDs are kept");
        assert_eq!(text(&object, tags::STUDY_DATE), image.date);
        assert_eq!(object.meta().transfer_syntax.trim_end_matches('\0'), EXPLICIT_LE);
        assert!(plain.body.ends_with(&image.frames.concat()), "the pixels stay");
        assert_eq!(plain.header("content-length"), plain.body.len().to_string());
        for (query, code) in [
            ("deidentify=everything", "invalid-value"),
            ("deidentify=basic&project=a/b", "invalid-value"),
            ("project=a", "invalid-value"),
        ] {
            let refused = house.get(&format!("{}?{query}", image.path())).await;
            assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, code), "{query}");
        }
    })
    .await;
}

/// PS3.18, section 9.1: `anonymize=yes` goes with application/dicom alone.
#[tokio::test]
async fn an_object_is_anonymized_over_wado_uri() {
    on_each(async |house| {
        let image = multi_frame();
        assert_eq!(house.store("/studies", &[image.compressed()]).await.status, 200);
        let wado = format!(
            "/wado?requestType=WADO&studyUID={}&seriesUID={}&objectUID={}&anonymize=yes",
            image.study, image.series, image.instance
        );
        let answer = house.ask(Method::GET, &format!("{wado}&contentType=application/dicom"), &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-location")), (200, ""));
        assert!(tells_nobody(&answer.body, &image));
        assert_eq!(text(&opened(&answer.body), tags::PATIENT_IDENTITY_REMOVED), "YES");
        let asked = format!("{wado}&contentType=application/dicom&transferSyntax={RLE}");
        let stored = house.ask(Method::GET, &asked, &[]).await;
        assert_eq!(opened(&stored.body).meta().transfer_syntax.trim_end_matches('\0'), RLE);
        let picture = house.ask(Method::GET, &format!("{wado}&contentType=image/jpeg"), &[]).await;
        assert_eq!((picture.status.as_u16(), picture.code().as_str()), (406, "not-acceptable"));
    })
    .await;
}

fn burned_in(image: &Image) -> Vec<u8> {
    let mut object = image.object();
    object.put(DataElement::new(tags::BURNED_IN_ANNOTATION, VR::CS, PrimitiveValue::from("YES")));
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(image.frames.concat().into())));
    file(object, EXPLICIT_LE)
}

#[tokio::test]
async fn what_is_said_to_show_the_patient_is_left_out_or_refused() {
    on_each(async |house| {
        let (first, second) = (Image::new("1.2.3.1.1"), Image { number: 2, ..Image::new("1.2.3.1.2") });
        assert_eq!(house.store("/studies", &[burned_in(&first), second.plain()]).await.status, 200);
        let answer = house.accepting("/studies/1.2.3?deidentify=basic", SEVERAL).await;
        assert_eq!((answer.status.as_u16(), answer.parts().len()), (206, 1));
        let last =
            house.accepting("/studies/1.2.3/series/1.2.3.1?deidentify=basic,allow-burned-in", SEVERAL).await;
        assert_eq!(last.parts().len(), 2);
        let alone = house.accepting(&format!("{}?deidentify=basic", first.path()), SINGLE).await;
        assert_eq!((alone.status.as_u16(), alone.code().as_str()), (406, "burned-in-annotation"));
    })
    .await;
}

async fn rows_of(house: &House, wanted: &str) -> usize {
    let mut rows = house.app.db.read().await.unwrap();
    let found =
        storage::audit::search(&mut rows, ClinicId::DEFAULT, &Default::default(), None, 99).await.unwrap();
    found
        .iter()
        .filter(|row| row.entry.detail.as_ref().is_some_and(|it| it.to_string().contains(wanted)))
        .count()
}

#[tokio::test]
async fn an_export_takes_its_own_right_and_is_written_down_each_time() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let path = format!("/dicom-web{}?deidentify=basic&project=trial-7", image.path());
        for (role, status) in [(Role::Doctor, 200), (Role::Nurse, 403)] {
            let token = gate::testing::token_of(&house.app, ClinicId::DEFAULT, &Position::of(role)).await;
            let bearer = format!("Bearer {token}");
            let plain = format!("/dicom-web{}", image.path());
            assert_eq!(house.ask(Method::GET, &plain, &[("authorization", &bearer)]).await.status, 200);
            for _ in 0..2 {
                let asked = [("authorization", bearer.as_str()), ("accept", SINGLE)];
                assert_eq!(house.ask(Method::GET, &path, &asked).await.status, status, "{role}");
            }
        }
        assert_eq!(rows_of(&house, "exported de-identified: basic/trial-7").await, 2);
    })
    .await;
}
