//! STOW-RS with metadata in DICOM JSON and bulk data behind them: PS3.18, section 10.5.2.

use serde_json::{Value, json};

use super::support::{Image, on_each};

const KIND: &str = r#"multipart/related; type="application/dicom+json"; boundary=b1"#;

/// A body of these parts: headers and bytes.
fn body(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, bytes) in parts {
        body.extend_from_slice(format!("--b1\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b1--\r\n");
    body
}

fn renamed(mut attributes: Value, uid: &str, uri: &str) -> Value {
    attributes["00080018"]["Value"] = json!([uid]);
    attributes["7FE00010"]["BulkDataURI"] = uri.into();
    attributes
}

#[tokio::test]
async fn metadata_that_were_read_here_can_be_stored_again_with_their_pixels() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let metadata = house.get(&format!("{}/metadata", image.path())).await.json()[0].clone();
        let octets = "Content-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\nContent-Location: ";
        let rle = "Content-Type: image/dicom-rle\r\nContent-Location: b";
        let sets = json!([
            renamed(metadata.clone(), "1.2.3.1.2", "a"),
            renamed(metadata.clone(), "1.2.3.1.3", "b"),
            renamed(metadata.clone(), "1.2.3.1.4", "missing"),
        ]);
        let parts = [
            ("Content-Type: application/dicom+json", sets.to_string().into_bytes()),
            (&*format!("{octets}a"), image.frames[0].to_vec()),
            (rle, Image::rle_frame(&image.frames[0])),
        ];
        let parts: Vec<(&str, &[u8])> = parts.iter().map(|(head, bytes)| (*head, bytes.as_slice())).collect();
        let stored = house.post("/studies", KIND, body(&parts)).await;
        assert_eq!(stored.status, 202, "{}", stored.json());
        let module = stored.json();
        assert_eq!(module["00081199"]["Value"].as_array().unwrap().len(), 2);
        assert_eq!(module["00081198"]["Value"][0]["00081155"]["Value"], json!(["1.2.3.1.4"]));
        for (uid, syntax) in [("1.2.3.1.2", "1.2.840.10008.1.2.1"), ("1.2.3.1.3", "1.2.840.10008.1.2.5")] {
            let copy = Image::new(uid);
            let frame = house.accepting(&format!("{}/frames/1", copy.path()), "application/octet-stream").await;
            assert_eq!(frame.body, image.frames[0], "{uid}");
            let mut back = house.get(&format!("{}/metadata", copy.path())).await.json()[0].clone();
            assert_eq!(back["00083002"]["Value"], json!([syntax]));
            for tag in ["00080018", "00083002", "7FE00010"] {
                back[tag] = metadata[tag].clone();
            }
            assert_eq!(back, metadata, "{uid}");
        }
    })
    .await;
}

/// PS3.3, sections C.7.6.24 and C.7.6.25; PS3.18, table 8.7.3-6: real numbers come as little-endian octets.
#[tokio::test]
async fn real_numbers_come_as_bulk_data_under_their_own_names() {
    on_each(async |house| {
        let image = Image::new("1.2.3.1.1");
        assert_eq!(house.store("/studies", &[image.plain()]).await.status, 200);
        let metadata = house.get(&format!("{}/metadata", image.path())).await.json()[0].clone();
        let real = |uid: &str, tag: &str, bits: u16, numbers: Value| {
            let mut attributes = renamed(metadata.clone(), uid, "");
            for integers in ["00280101", "00280102", "00280103", "7FE00010"] {
                attributes.as_object_mut().unwrap().remove(integers);
            }
            attributes["00280100"]["Value"] = json!([bits]);
            attributes[tag] = numbers;
            attributes
        };
        let floats: Vec<u8> = (0..16_u8).flat_map(|it| (f32::from(it) / 8.0).to_le_bytes()).collect();
        let doubles: Vec<u8> = (0..16_u8).flat_map(|it| (f64::from(it) / 8.0).to_le_bytes()).collect();
        let short = &floats[..62];
        let sets = json!([
            real("1.2.3.1.2", "7FE00008", 32, json!({"vr": "OF", "BulkDataURI": "floats"})),
            real("1.2.3.1.3", "7FE00009", 64, json!({"vr": "OD", "BulkDataURI": "doubles"})),
            real("1.2.3.1.4", "7FE00008", 32, json!({"vr": "OF", "BulkDataURI": "short"})),
        ]);
        let octets = |at: &str| format!("Content-Type: application/octet-stream\r\nContent-Location: {at}");
        let parts = [
            ("Content-Type: application/dicom+json", sets.to_string().into_bytes()),
            (&*octets("floats"), floats.clone()),
            (&*octets("doubles"), doubles.clone()),
            (&*octets("short"), short.to_vec()),
        ];
        let parts: Vec<(&str, &[u8])> = parts.iter().map(|(head, bytes)| (*head, bytes.as_slice())).collect();
        let stored = house.post("/studies", KIND, body(&parts)).await;
        assert_eq!(stored.status, 202, "{}", stored.json());
        let module = stored.json();
        assert_eq!(
            module["00081198"]["Value"][0]["00081155"]["Value"],
            json!(["1.2.3.1.4"]),
            "no whole number"
        );
        for (uid, tag, vr, bytes) in
            [("1.2.3.1.2", "7FE00008", "OF", floats), ("1.2.3.1.3", "7FE00009", "OD", doubles)]
        {
            let at = Image::new(uid).path();
            let back = house.get(&format!("{at}/metadata")).await.json()[0].clone();
            assert_eq!((&back[tag]["vr"], back.get("7FE00010")), (&json!(vr), None), "{uid}");
            for tail in ["frames/1".to_owned(), format!("bulkdata/{tag}")] {
                let given = house.accepting(&format!("{at}/{tail}"), "application/octet-stream").await;
                assert_eq!(given.body, bytes, "{uid}: {tail}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn metadata_that_do_not_read_are_refused_as_a_whole() {
    on_each(async |house| {
        let json = "Content-Type: application/dicom+json";
        for (parts, status, code) in [
            (vec![(json, b"[{".as_slice())], 400, "metadata-malformed"),
            (vec![(json, b"{}".as_slice())], 400, "metadata-malformed"),
            (
                vec![("Content-Type: application/dicom+xml", b"<a/>".as_slice())],
                415,
                "unsupported-media-type",
            ),
            (vec![(json, b"[]".as_slice())], 400, "no-instances"),
            (
                vec![(json, b"[]".as_slice()), ("Content-Type: image/jpeg", b"x".as_slice())],
                400,
                "part-malformed",
            ),
        ] {
            let refused = house.post("/studies", KIND, body(&parts)).await;
            assert_eq!((refused.status.as_u16(), refused.code().as_str()), (status, code), "{parts:?}");
        }
        let long = [b"[".as_slice(), &vec![b' '; 32 << 20], b"]"].concat();
        let refused = house.post("/studies", KIND, body(&[(json, &long)])).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (413, "too-large"));
        let nonsense = house.post("/studies", KIND, body(&[(json, br#"[{"00100010": 5}]"#)])).await;
        assert_eq!(nonsense.status, 409);
        assert_eq!(nonsense.json()["0008119A"]["Value"][0]["00081197"]["Value"], json!([0xC000]));
    })
    .await;
}
