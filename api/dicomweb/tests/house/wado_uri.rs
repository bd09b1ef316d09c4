//! WADO-URI: PS3.18, chapter 9.

use axum::http::Method;

use super::pixels::multi_frame;
use super::support::{Answer, House, Image, on_each};

async fn wado(house: &House, image: &Image, more: &str) -> Answer {
    let uids = format!("studyUID={}&seriesUID={}&objectUID={}", image.study, image.series, image.instance);
    house.ask(Method::GET, &format!("/wado?requestType=WADO&{uids}{more}"), &[("accept", "*/*")]).await
}

#[tokio::test]
async fn a_query_alone_names_an_instance_or_a_picture_of_it() {
    on_each(async |house| {
        let (single, several) = (Image::new("1.2.3.1.1"), Image { instance: "1.2.3.1.2".into(), ..multi_frame() });
        assert_eq!(house.store("/studies", &[single.plain(), several.compressed()]).await.status, 200);
        let kind = async |image: &Image, more: &str| {
            let answer = wado(&house, image, more).await;
            (answer.status.as_u16(), answer.header("content-type").to_owned())
        };
        let plain = "application/dicom; transfer-syntax=1.2.840.10008.1.2.1";
        for (image, more, expected) in [
            (&single, "", "image/jpeg"),
            (&single, "&contentType=image/png", "image/png"),
            (&single, "&contentType=application/dicom", plain),
            (&several, "", plain),
            (&several, "&frameNumber=2", "image/jpeg"),
            (&several, "&contentType=image/gif", "image/gif"),
            (&several, "&contentType=application%2Fdicom&transferSyntax=1.2.840.10008.1.2.5", "application/dicom; transfer-syntax=1.2.840.10008.1.2.5"),
            (&several, "&contentType=text/html,image/png;q=0.5&frameNumber=1", "image/png"),
        ] {
            assert_eq!(kind(image, more).await, (200, expected.to_owned()), "{more}");
        }
        assert!(wado(&house, &single, "&contentType=application/dicom").await.body == single.plain());
        let small = "&contentType=image/png&columns=2&windowCenter=60&windowWidth=20&region=0,0,1,0.5&imageQuality=50";
        let picture = image::load_from_memory(&wado(&house, &single, small).await.body).unwrap();
        assert_eq!((picture.width(), picture.height()), (2, 1));
    })
    .await;
}

#[tokio::test]
async fn what_a_query_asks_wrongly_is_refused_with_its_reason() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        for (more, status, code) in [
            ("&contentType=video/mpeg", 406, "not-acceptable"),
            ("&anonymize=yes&contentType=image/jpeg", 406, "not-acceptable"),
            ("&anonymize=no", 400, "invalid-value"),
            ("&frameNumber=0", 400, "invalid-value"),
            ("&frameNumber=2", 404, "no-such-frame"),
            ("&rows=0", 400, "invalid-value"),
            ("&windowCenter=5", 400, "invalid-value"),
            ("&windowCenter=5&windowWidth=0", 400, "invalid-value"),
            ("&region=0,0,2,1", 400, "invalid-value"),
            ("&presentationUID=1.2", 400, "unknown-key"),
            ("&contentType=application/dicom&transferSyntax=1.2.840.10008.1.2.4.201", 406, "not-acceptable"),
        ] {
            let refused = wado(&house, &image, more).await;
            assert_eq!((refused.status.as_u16(), refused.code().as_str()), (status, code), "{more}");
        }
        for (path, status) in [
            ("/wado", 400),
            ("/wado?requestType=WADO&studyUID=1.2.3&seriesUID=1.2.3.1", 400),
            ("/wado?requestType=WADO&studyUID=x&seriesUID=1.2.3.1&objectUID=1", 400),
            ("/wado?requestType=WADO&studyUID=1.2.9&seriesUID=1.2.3.1&objectUID=1", 404),
        ] {
            assert_eq!(house.ask(Method::GET, path, &[]).await.status, status, "{path}");
        }
    })
    .await;
}
