//! The journey of an instance: stored, found, read back.

use super::support::{CT, Image, multipart, on_each};
use serde_json::json;

fn two() -> [Image; 2] {
    let second = Image { number: 2, ..Image::new("1.2.3.1.2") };
    [Image::new("1.2.3.1.1"), second]
}

#[tokio::test]
async fn what_is_stored_is_found_and_comes_back_bit_for_bit() {
    on_each(async |house| {
        let files: Vec<Vec<u8>> = two().iter().map(Image::plain).collect();
        let stored = house.store("/studies", &files).await;
        assert_eq!(stored.status, 200, "{}", stored.json());
        assert_eq!(stored.header("content-type"), "application/dicom+json");
        let module = stored.json();
        assert_eq!(module["00081190"]["Value"][0], "http://pacs:8080/dicom-web/studies/1.2.3");
        assert_eq!(module["00081199"]["Value"].as_array().unwrap().len(), 2);
        assert!(module["00081198"].is_null());

        let study = &house.get("/studies?PatientName=muster*&StudyDate=20260101-").await.json()[0];
        assert_eq!(study["0020000D"]["Value"], json!(["1.2.3"]));
        assert_eq!(study["00100010"]["Value"], json!([{"Alphabetic": "Muster^Ada"}]));
        assert_eq!((&study["00201206"]["Value"], &study["00201208"]["Value"]), (&json!([1]), &json!([2])));
        assert_eq!(study["00080061"]["Value"], json!(["CT"]));
        assert_eq!(study["00081190"]["Value"][0], "http://pacs:8080/dicom-web/studies/1.2.3");

        let one = house.accepting(&two()[0].path(), "application/dicom").await;
        assert_eq!(
            (one.status.as_u16(), one.header("content-type")),
            (200, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1")
        );
        assert!(one.body == files[0]);
        let headers = [("accept", "application/dicom"), ("if-none-match", one.header("etag"))];
        let known = house.get_with(&two()[0].path(), &headers).await;
        assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));

        for path in ["/studies/1.2.3", "/studies/1.2.3/series/1.2.3.1"] {
            let all = house
                .accepting(path, r#"multipart/related; type="application/dicom"; transfer-syntax=*"#)
                .await;
            assert_eq!(all.header("content-length"), all.body.len().to_string());
            let data: Vec<Vec<u8>> = all.parts().into_iter().map(|(_, data)| data).collect();
            assert!(data == files, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn searches_of_each_level_say_what_the_path_does_not() {
    on_each(async |house| {
        let other = Image {
            study: "1.2.4",
            series: "1.2.4.1",
            modality: "SR",
            date: "20260201",
            ..Image::new("1.2.4.1.1")
        };
        let files = [two()[1].plain(), two()[0].plain(), other.plain()];
        assert_eq!(house.store("/studies", &files).await.status, 200);
        let all = house.get("/instances").await.json();
        assert_eq!(all.as_array().unwrap().len(), 3);
        let one =
            all.as_array().unwrap().iter().find(|it| it["00080018"]["Value"][0] == "1.2.3.1.1").unwrap();
        assert_eq!(one["00280010"], json!({"vr": "US", "Value": [4]}));
        assert_eq!(one["00201209"]["Value"], json!([2]), "of its series");
        assert_eq!(one["00100020"]["Value"], json!(["P1"]), "of its study");
        let within = house.get("/studies/1.2.3/series/1.2.3.1/instances?limit=1&offset=1").await.json();
        assert_eq!(within[0]["00080018"]["Value"], json!(["1.2.3.1.2"]));
        assert!(within[0]["00100020"].is_null() && within[1].is_null());
        let series = house.get("/series?Modality=SR&includefield=all").await.json();
        assert_eq!(
            (series.as_array().unwrap().len(), &series[0]["0020000E"]["Value"][0]),
            (1, &json!("1.2.4.1"))
        );
        assert!(house.get("/studies/1.2.3/series").await.json()[0]["00100020"].is_null());

        let none = house.get("/studies?PatientID=P2").await;
        assert_eq!((none.status.as_u16(), none.json()), (200, json!([])));
        for (query, code) in
            [("Colour=red", "unknown-key"), ("StudyDate=x", "invalid-value"), ("limit=x", "invalid-page")]
        {
            let refused = house.get(&format!("/studies?{query}")).await;
            assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, code));
        }
        assert_eq!(house.accepting("/studies", "application/dicom+xml").await.status, 406);
        assert_eq!(house.get("/studies/not-a-uid/series").await.code(), "invalid-uid");
    })
    .await;
}

/// PS3.18, table 10.5.3-1: 202 where some are stored, 409 where none is.
#[tokio::test]
async fn a_bad_instance_never_harms_the_others() {
    on_each(async |house| {
        let good = two();
        let cut = good[1].plain()[..600].to_vec();
        let mut huge = Image::new("1.2.3.1.9");
        huge.ballast = 5 << 20;
        let mixed = [
            b"<html></html>".to_vec(),
            good[0].plain(),
            cut.clone(),
            Vec::new(),
            huge.plain(),
            good[1].plain(),
        ];
        let stored = house.store("/studies", &mixed).await;
        assert_eq!(stored.status, 202);
        let module = stored.json();
        assert_eq!(module["00081199"]["Value"].as_array().unwrap().len(), 2);
        let reasons: Vec<u64> = module["0008119A"]["Value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["00081197"]["Value"][0].as_u64().unwrap())
            .collect();
        assert_eq!(reasons, [0xC000, 0xC000, 0xC000, 0xA700]);
        assert_eq!(house.get("/instances").await.json().as_array().unwrap().len(), 2);

        let none = house.store("/studies", &[cut]).await;
        assert_eq!(none.status, 409);
        let wrong = Image { study: "1.2.9", ..Image::new("1.2.9.1") };
        let wrong = house.store("/studies/1.2.3", &[wrong.plain()]).await;
        assert_eq!(wrong.status, 409);
        let failed = &wrong.json()["00081198"]["Value"][0];
        assert_eq!(
            (&failed["00081155"]["Value"][0], &failed["00081150"]["Value"][0]),
            (&json!("1.2.9.1"), &json!(CT))
        );
        assert_eq!(failed["00081197"]["Value"], json!([0xA900]));
    })
    .await;
}

#[tokio::test]
async fn other_bytes_under_a_uid_are_kept_aside_and_the_answer_says_so() {
    on_each(async |house| {
        let first = Image::new("1.2.3.1.1");
        let second = Image { frames: vec![[7; 16]], ..first.clone() };
        assert_eq!(house.store("/studies", &[first.plain()]).await.status, 200);
        assert_eq!(house.store("/studies", &[first.plain()]).await.status, 200, "the same bytes again");
        let aside = house.store("/studies", &[second.plain()]).await;
        assert_eq!(aside.status, 202);
        assert_eq!(aside.json()["00081199"]["Value"][0]["00081196"]["Value"], json!([0xB101]));
        assert!(aside.header("warning").starts_with("299 "));
        assert!(house.accepting(&first.path(), "application/dicom").await.body == first.plain());

        let elsewhere = Image { study: "1.2.9", ..second };
        let aside = house.store("/studies", &[elsewhere.plain()]).await;
        assert_eq!(aside.status, 202);
        let stored = &aside.json()["00081199"]["Value"][0];
        assert_eq!(stored["00081196"]["Value"], json!([0xB101]));
        let url = stored["00081190"]["Value"][0].as_str().unwrap();
        assert!(
            url.ends_with(&first.path()),
            "{url} is where the instance lies, not where the newcomer says"
        );
    })
    .await;
}

/// Boundary text in pixel data stays data; a body whose parts cannot be told apart is 400, never a shorter instance.
#[tokio::test]
async fn a_body_whose_parts_cannot_be_told_apart_is_refused() {
    on_each(async |house| {
        let mut image = Image::new("1.2.3.1.1");
        image.frames = vec![*b"data--b1\r\n--b1xx"];
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        assert!(house.accepting(&image.path(), "application/dicom").await.body == image.plain());

        let [first, second] = [Image::new("1.2.3.1.5"), Image::new("1.2.3.1.6")].map(|image| image.plain());
        let kind = "multipart/related; type=\"application/dicom\"; boundary=b1";
        let whole = multipart(&[first, second]);
        let cut = house.post("/studies", kind, whole[..whole.len() - 20].to_vec()).await;
        assert_eq!((cut.status.as_u16(), cut.code().as_str()), (400, "body-truncated"));
        let detail = cut.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("1 instances before the fault are stored"), "{detail}");
        assert_eq!(
            house.get("/instances?SOPInstanceUID=1.2.3.1.5,1.2.3.1.6").await.json().as_array().unwrap().len(),
            1
        );

        let mut torn = Image::new("1.2.3.1.7");
        torn.frames = vec![*b"data\r\n--b1\r\nxxxx"];
        let behind = Image::new("1.2.3.1.8").plain();
        let torn = house.store("/studies", &[torn.plain(), behind]).await;
        assert_eq!((torn.status.as_u16(), torn.code().as_str()), (400, "part-malformed"));
        assert_eq!(house.get("/instances?SOPInstanceUID=1.2.3.1.7,1.2.3.1.8").await.json(), json!([]));
    })
    .await;
}

#[tokio::test]
async fn what_is_no_store_request_gets_its_own_status() {
    on_each(async |house| {
        let file = Image::new("1.2.3.1.1").plain();
        let answers = [
            ("text/html", file.clone(), 415, "unsupported-media-type"),
            (
                "multipart/related; type=\"application/dicom+xml\"; boundary=b1",
                file.clone(),
                415,
                "unsupported-media-type",
            ),
            ("multipart/related; type=\"application/dicom\"", file.clone(), 400, "invalid-boundary"),
            ("multipart/related; type=\"application/dicom\"; boundary=b1", Vec::new(), 400, "body-truncated"),
            ("application/dicom", Vec::new(), 400, "no-instances"),
        ];
        for (kind, body, status, code) in answers {
            let answer = house.post("/studies", kind, body).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{kind}");
        }
        let zipped = [("content-type", "application/dicom"), ("content-encoding", "gzip")];
        let zipped = house.ask(axum::http::Method::POST, "/dicom-web/studies", &zipped).await;
        assert_eq!((zipped.status.as_u16(), zipped.header("accept-encoding")), (415, "identity"));
        let page = b"--b1\r\nContent-Type: text/html\r\n\r\n<html>\r\n--b1--".to_vec();
        let page = house.post("/studies", "multipart/related; boundary=b1", page).await;
        assert_eq!((page.status.as_u16(), page.code().as_str()), (415, "unsupported-media-type"));
        assert_eq!(house.post("/studies/1.2.3", "application/dicom", file).await.status, 200);
        let stranger =
            axum::http::Request::get("/dicom-web/studies").body(axum::body::Body::empty()).unwrap();
        assert_eq!(house.send(stranger).await.status, 401);
    })
    .await;
}
