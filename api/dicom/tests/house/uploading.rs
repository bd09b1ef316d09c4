//! Up and down again, and what is refused.

use axum::body::Body;
use axum::http::{Method, Request};
use gate::HttpLimits;
use gate::testing::{get, request, send};
use ingest::receive::OnConflict;
use serde_json::{Value, json};
use storage::testing::{count, on_both};

use crate::support::{form, house, house_with, image, post, post_form, upload, without_pixels};

/// The four fields of the client application, and a URL that resolves.
#[tokio::test]
async fn an_uploaded_file_comes_back_bit_for_bit() {
    on_both(async |db| {
        let house = house(&db);
        let file = image("1.2.3.1.1", *b"abcdefgh");
        let answer =
            post_form(&house, form(&[("note", "", b"x"), ("file", "a/b\\chest 1.dcm", &file)])).await;
        assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.body);
        let uploaded = answer.json();
        let id = uploaded["id"].as_str().unwrap();
        assert_eq!(uploaded["fileName"], "chest 1.dcm");
        assert_eq!(uploaded["fileUrl"], format!("/uploads/dicom/{id}.dcm"));
        assert_eq!(uploaded["uploadedAt"], "2026-09-21T14:13:20.123456Z");
        assert_eq!(
            (&uploaded["disposition"], &uploaded["studyInstanceUid"]),
            (&json!("stored"), &json!("1.2.3"))
        );

        let url = uploaded["fileUrl"].as_str().unwrap();
        let down = get(&house.router, url).await;
        assert!(down.body == file, "other bytes came back");
        assert_eq!(down.header("content-type"), "application/dicom");
        assert_eq!(down.header("content-length"), file.len().to_string());
        assert_eq!(
            down.header("content-disposition"),
            "attachment; filename=\"chest_1.dcm\"; filename*=UTF-8''chest%201.dcm"
        );
        let again = request(Method::GET, url).header("if-none-match", down.header("etag"));
        assert_eq!(send(&house.router, again.body(Body::empty()).unwrap()).await.status.as_u16(), 304);
        let stranger = Request::get(url).body(Body::empty()).unwrap();
        assert_eq!(send(&house.router, stranger).await.problem(), (401, "token-missing".into()));

        let patient = uploaded["patientId"].as_str().unwrap();
        let files = get(&house.router, &format!("/api/dicom/patient/{patient}")).await.json();
        assert_eq!(files.as_array().unwrap().len(), 1);
        for field in ["id", "fileName", "fileUrl", "uploadedAt", "sopInstanceUid", "patientId"] {
            assert_eq!(files[0][field], uploaded[field], "{field}");
        }
        assert_eq!(files[0]["modality"], "CT");
    })
    .await;
}

#[tokio::test]
async fn the_same_bytes_again_are_one_file_and_other_bytes_are_kept_aside() {
    on_both(async |db| {
        let house = house(&db);
        let first = upload(&house, &image("1.2.3.1.1", *b"abcdefgh")).await.json();
        let again = upload(&house, &image("1.2.3.1.1", *b"abcdefgh")).await.json();
        assert_eq!((&again["id"], &again["disposition"]), (&first["id"], &json!("already-stored")));
        assert_eq!(house.files_left(), 1);
        let other = upload(&house, &image("1.2.3.1.1", *b"ABCDEFGH")).await.json();
        assert_eq!((&other["id"], &other["disposition"]), (&first["id"], &json!("kept-aside")));

        let path = format!("/api/dicom/files/{}/versions", first["id"].as_str().unwrap());
        let versions = get(&house.router, &path).await.json();
        let states: Vec<&Value> = versions.as_array().unwrap().iter().map(|it| &it["state"]).collect();
        assert_eq!(states, ["current", "aside"]);
        assert_eq!((&versions[0]["versionId"], &versions[0]["fileUrl"]), (&Value::Null, &first["fileUrl"]));
        let url = format!(
            "{}?version={}",
            first["fileUrl"].as_str().unwrap(),
            versions[1]["versionId"].as_str().unwrap()
        );
        assert_eq!(versions[1]["fileUrl"], url.as_str());
        let aside = get(&house.router, &url).await;
        assert!(aside.body.ends_with(b"ABCDEFGH"));
        assert_eq!(aside.header("etag"), format!("\"{}\"", versions[1]["sha256"].as_str().unwrap()));
        let unknown =
            format!("{}?version={}", first["fileUrl"].as_str().unwrap(), clinical::id::VersionId::new());
        assert_eq!(get(&house.router, &unknown).await.problem(), (404, "not-found".into()));
        let current = get(&house.router, first["fileUrl"].as_str().unwrap()).await.body;
        assert!(current.ends_with(b"abcdefgh"), "the first bytes stay the current ones");
    })
    .await;
}

#[tokio::test]
async fn where_newcomers_are_rejected_the_answer_is_409_and_nothing_is_kept() {
    on_both(async |db| {
        let house = house_with(&db, HttpLimits::default(), OnConflict::Reject);
        upload(&house, &image("1.2.3.1.1", *b"abcdefgh")).await;
        let other = upload(&house, &image("1.2.3.1.1", *b"ABCDEFGH")).await;
        assert_eq!(other.problem(), (409, "instance-conflict".into()));
        assert_eq!((house.files_left(), count(&db, "instance_versions").await), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn each_bad_body_has_its_own_answer_and_leaves_nothing_behind() {
    on_both(async |db| {
        let house =
            house_with(&db, HttpLimits { upload_bytes: 4_096, ..HttpLimits::default() }, OnConflict::Keep);
        let file = image("1.2.3.1.1", *b"abcdefgh");
        let cut = &file[..file.len() - 3];
        let multipart = "multipart/form-data; boundary=frontier";
        let whole = form(&[("file", "a.dcm", &file)]);
        let broken = whole[..whole.len() - 20].to_vec();
        // A boundary at a line start inside the file: what follows it is no field.
        let torn = [&file[..], b"\r\n--frontierless\r\nrest\r\n"].concat();
        let too_large = vec![0; 4_097];
        let cases = [
            (415, "unsupported-media-type", "application/dicom", file.clone()),
            (415, "unsupported-media-type", "text/html", b"<html>".to_vec()),
            (400, "invalid-multipart", "multipart/form-data", whole.clone()),
            (400, "file-missing", multipart, form(&[("picture", "a.dcm", &file)])),
            (400, "file-missing", multipart, b"--frontier--\r\n".to_vec()),
            (400, "one-file-only", multipart, form(&[("file", "a", &file), ("file", "b", &file)])),
            (400, "invalid-multipart", multipart, broken),
            (400, "invalid-multipart", multipart, b"<html>".to_vec()),
            (400, "invalid-multipart", multipart, form(&[("file", "a.dcm", &torn)])),
            (400, "empty", multipart, form(&[("file", "a.dcm", b"")])),
            (400, "not-dicom", multipart, form(&[("file", "a.dcm", b"<html></html>")])),
            (400, "truncated", multipart, form(&[("file", "a.dcm", cut)])),
            (413, "too-large", multipart, form(&[("file", "a.dcm", &too_large)])),
        ];
        for (status, code, kind, body) in cases {
            let answer = post(&house, kind, body).await;
            assert_eq!(answer.problem(), (status, code.to_owned()), "{kind}");
            assert_eq!((house.files_left(), count(&db, "patients").await), (0, 0), "{code} left something");
        }
        let empty = request(Method::POST, "/api/dicom/upload")
            .header("content-type", multipart)
            .header("content-length", "0");
        let empty = send(&house.router, empty.body(Body::empty()).unwrap()).await;
        assert_eq!(empty.problem(), (400, "empty-body".into()));
    })
    .await;
}

/// The seed's `MAX_FILE_SIZE` is 10485760: that many bytes pass, one more does not.
#[tokio::test]
async fn the_upload_limit_is_that_of_the_file() {
    on_both(async |db| {
        let house = house(&db);
        let mut file = without_pixels("1.2.3.1.1");
        // A private element (PS3.5, section 7.8) of whatever length is missing.
        let rest = 10_485_760 - file.len() - 12 - 20;
        file.extend([&[0x21, 0x00, 0x10, 0x00][..], b"LO", &[12, 0], b"MEDILINKTEST"].concat());
        let length = u32::try_from(rest).unwrap().to_le_bytes();
        file.extend([&[0x21, 0x00, 0x01, 0x10][..], b"OB\0\0", &length].concat());
        file.resize(10_485_760, 0);
        assert_eq!(upload(&house, &file).await.status.as_u16(), 200);
        file.push(0);
        assert_eq!(upload(&house, &file).await.problem(), (413, "too-large".into()));
    })
    .await;
}

#[tokio::test]
async fn what_is_unknown_is_not_found() {
    on_both(async |db| {
        let house = house(&db);
        let id = clinical::id::InstanceId::new();
        for path in [
            format!("/uploads/dicom/{id}.dcm"),
            format!("/uploads/dicom/{id}"),
            "/uploads/dicom/dicom-123.dcm".to_owned(),
            "/uploads/dicom/..%2F..%2Frows.sqlite.dcm".to_owned(),
            format!("/api/dicom/patient/{id}"),
            "/api/dicom/patient/1".to_owned(),
            format!("/api/dicom/files/{id}/versions"),
        ] {
            assert_eq!(get(&house.router, &path).await.problem(), (404, "not-found".into()), "{path}");
        }
    })
    .await;
}
