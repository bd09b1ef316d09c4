//! What the client holds is not sent again, and of what it wants a part it gets that part.

use std::io::Read;

use axum::http::Method;
use serde_json::json;
use storage::db::{built_sql, sql};

use super::pixels::multi_frame;
use super::support::{House, Image, on_each};

const SINGLE: &str = "application/dicom";

async fn forget_metadata(house: &House) {
    let mut tx = house.app.db.begin().await.unwrap();
    sql("DELETE FROM instance_metadata").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn kept(house: &House) -> i64 {
    storage::testing::count(&house.app.db, "instance_metadata").await
}

#[tokio::test]
async fn each_representation_has_its_own_strong_tag() {
    on_each(async |house| {
        let image = multi_frame();
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let asked = [
            (image.path(), SINGLE),
            (image.path(), "multipart/related; type=\"application/dicom\""),
            (format!("{}/metadata", image.path()), "application/dicom+json"),
            (format!("{}/frames/1", image.path()), "application/octet-stream"),
            (format!("{}/frames/2", image.path()), "application/octet-stream"),
            (format!("{}/rendered", image.path()), "image/jpeg"),
            (format!("{}/rendered", image.path()), "image/png"),
            (format!("{}/rendered?quality=5", image.path()), "image/jpeg"),
            (format!("{}/bulkdata/7FE00010", image.path()), "application/octet-stream"),
        ];
        let mut tags = Vec::new();
        for (path, accept) in &asked {
            let first = house.accepting(path, accept).await;
            assert_eq!(first.status, 200, "{path}");
            let tag = first.header("etag").to_owned();
            assert!(tag.starts_with('"') && tag.ends_with('"'), "{path}: {tag}");
            assert_eq!(first.header("cache-control"), "private, no-cache");
            let again = house.get_with(path, &[("accept", accept), ("if-none-match", &tag)]).await;
            assert_eq!(
                (again.status.as_u16(), again.body.len(), again.header("etag")),
                (304, 0, tag.as_str())
            );
            tags.push(tag);
        }
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), asked.len());
    })
    .await;
}

#[tokio::test]
async fn bytes_come_in_ranges_of_one_state() {
    on_each(async |house| {
        let image = Image { ballast: 5_000, ..multi_frame() };
        let file = image.plain();
        assert_eq!(house.store("/studies", std::slice::from_ref(&file)).await.status, 200);
        let whole = house.accepting(&image.path(), SINGLE).await;
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let ask = async |range: &str, headers: &[(&str, &str)]| {
            let headers = [headers, &[("accept", SINGLE), ("range", range)]].concat();
            house.get_with(&image.path(), &headers).await
        };
        let part = ask("bytes=128-131", &[]).await;
        assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, b"DICM".as_slice()));
        assert_eq!(part.header("content-range"), format!("bytes 128-131/{}", file.len()));
        let tail = ask("bytes=-16", &[("if-range", whole.header("etag"))]).await;
        assert_eq!((tail.status.as_u16(), tail.body.as_slice()), (206, &image.frames[2][..]));
        let other = ask("bytes=-16", &[("if-range", "\"another\"")]).await;
        assert_eq!((other.status.as_u16(), other.body.len()), (200, file.len()));
        let beyond = ask("bytes=999999-", &[]).await;
        assert_eq!((beyond.status.as_u16(), beyond.code().as_str()), (416, "range-not-satisfiable"));
        assert_eq!(beyond.header("content-range"), format!("bytes */{}", file.len()));

        let metadata = house.get(&format!("{}/metadata", image.path())).await.json();
        let uri = metadata[0]["00291001"]["BulkDataURI"].as_str().unwrap();
        let path = uri.strip_prefix("http://pacs:8080/dicom-web").unwrap();
        assert_eq!(path, format!("{}/bulkdata/00291001", image.path()));
        let value = [0xE0, 0x7F, 0x10, 0x00].repeat(5_000 / 4);
        assert!(house.get(path).await.parts()[0].1 == value, "several parts where nothing is said");
        let part = house.get_with(path, &[("range", "bytes=2-5"), ("accept", "*/*")]).await;
        assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, &value[2..6]));
        let related = "multipart/related; type=\"application/octet-stream\"";
        let part = house.get_with(path, &[("range", "bytes=2-5"), ("accept", related)]).await;
        assert_eq!((part.status.as_u16(), part.parts()[0].1.as_slice()), (206, &value[2..6]));
        let pixels = format!("{}/bulkdata/7FE00010", image.path());
        let part = house.get_with(&pixels, &[("range", "bytes=16-31"), ("accept", "*/*")]).await;
        assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, &image.frames[1][..]));
        for none in ["00100010", "00091001", "00291001.0.00291001"] {
            assert_eq!(house.get(&format!("{}/bulkdata/{none}", image.path())).await.status, 404, "{none}");
        }
        assert_eq!(house.accepting(path, "image/png").await.status, 406);
    })
    .await;
}

#[tokio::test]
async fn json_is_zipped_for_those_who_take_it() {
    on_each(async |house| {
        let images: Vec<Vec<u8>> = (0..70)
            .map(|number| Image { number, ..Image::new(&format!("1.2.3.1.{}", number + 1)) }.plain())
            .collect();
        assert_eq!(house.store("/studies", &images).await.status, 200);
        let plain = house.get("/studies/1.2.3/metadata").await;
        assert_eq!(plain.json().as_array().unwrap().len(), 70, "more than one page");
        let zipped = house.get_with("/studies/1.2.3/metadata", &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(zipped.header("content-encoding"), "gzip");
        assert!(zipped.header("vary").contains("accept-encoding"));
        assert_ne!(zipped.header("etag"), plain.header("etag"));
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(zipped.body.as_slice()).read_to_end(&mut text).unwrap();
        assert!(text == plain.body && zipped.body.len() < text.len() / 5);
    })
    .await;
}

/// As for what was stored before metadata were kept.
#[tokio::test]
async fn metadata_that_are_not_kept_are_made_once_and_then_kept() {
    on_each(async |house| {
        let files = [
            Image::new("1.2.3.1.1").plain(),
            Image { number: 2, ..Image::new("1.2.3.1.2") }.compressed(),
            Image { number: 3, ballast: 4_000, ..Image::new("1.2.3.1.3") }.plain_in("1.2.840.10008.1.2.1.99"),
        ];
        assert_eq!(house.store("/studies", &files).await.status, 200);
        assert_eq!(kept(&house).await, 3, "from the moment they came");
        let at_receipt = house.get("/studies/1.2.3/metadata").await;
        forget_metadata(&house).await;
        let made = house.get("/studies/1.2.3/metadata").await;
        assert!(made.body == at_receipt.body);
        assert_eq!(kept(&house).await, 3);
        let of_other_bytes = "UPDATE instance_metadata SET sha256 = 'stale', packed = $1";
        let mut tx = house.app.db.begin().await.unwrap();
        built_sql(of_other_bytes.to_owned()).bind(vec![0_u8]).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert!(
            house.get("/studies/1.2.3/metadata").await.body == at_receipt.body,
            "what is stale does not count"
        );
    })
    .await;
}

#[tokio::test]
async fn head_tells_what_get_would() {
    on_each(async |house| {
        let image = multi_frame();
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let base = format!("/dicom-web{}", image.path());
        for (path, accept) in [
            (base.clone(), SINGLE),
            (base.clone(), "*/*"),
            (format!("{base}/frames/1,2"), "*/*"),
            (format!("{base}/rendered"), "image/png"),
        ] {
            let headers = [("accept", accept)];
            let get = house.ask(Method::GET, &path, &headers).await;
            let head = house.ask(Method::HEAD, &path, &headers).await;
            assert_eq!((head.status, head.body.len()), (get.status, 0));
            assert_eq!(head.header("etag"), get.header("etag"));
            assert_eq!(head.header("content-length"), get.body.len().to_string(), "{path}");
        }
        let none = house.ask(Method::HEAD, "/dicom-web/studies/9.9", &[]).await;
        assert_eq!((none.status.as_u16(), json!(none.body.len())), (404, json!(0)));
    })
    .await;
}
