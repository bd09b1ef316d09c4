//! A house on both databases, and synthetic instances.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use chrono::TimeDelta;
use clinical::clock::{Clock, SystemClock};
use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicomweb::DicomWebState;
use gate::{App, Authenticator, HttpLimits, TokenSettings};
use http_body_util::BodyExt;
use ingest::hygiene::HygieneSettings;
use ingest::limits::IngestLimits;
use ingest::pixels::{DecodePool, PixelLimits};
use ingest::receive::{OnConflict, ReceiveSettings, Receiver};
use storage::archive::{Archive, DataKeys};
use storage::testing::on_both;
use tower::ServiceExt;

pub const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub const RLE: &str = "1.2.840.10008.1.2.5";
pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// The house, as a client sees it.
pub struct House {
    pub app: App,
    router: Router,
    _folder: tempfile::TempDir,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The data and the Content-Type of each part.
    pub fn parts(&self) -> Vec<(String, Vec<u8>)> {
        let boundary = self.header("content-type").split("boundary=").nth(1).expect("a boundary");
        let delimiter = format!("--{boundary}");
        let at: Vec<usize> = find_all(&self.body, delimiter.as_bytes());
        assert!(self.body[at[at.len() - 1]..].starts_with(format!("{delimiter}--").as_bytes()), "closed");
        let between = at.windows(2).map(|pair| &self.body[pair[0] + delimiter.len() + 2..pair[1] - 2]);
        let part = |part: &[u8]| {
            let end = find_all(part, b"\r\n\r\n")[0];
            let head = String::from_utf8(part[..end].to_vec()).unwrap();
            let kind = head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).unwrap();
            (kind.to_owned(), part[end + 4..].to_vec())
        };
        between.map(part).collect()
    }
}

fn find_all(text: &[u8], wanted: &[u8]) -> Vec<usize> {
    (0..text.len()).filter(|at| text[*at..].starts_with(wanted)).collect()
}

/// Runs `test` against an empty house on each database.
pub async fn on_each<F: AsyncFn(House)>(test: F) {
    on_both(async |db| {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::folder(&folder.path().join("blobs")).unwrap();
        let settings = ReceiveSettings {
            limits: IngestLimits { instance_bytes: 4 << 20, ..IngestLimits::default() },
            on_conflict: OnConflict::Keep,
            quiet: TimeDelta::seconds(60),
            spool_folder: folder.path().to_owned(),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (keyring, tokens) = (storage::testing::keyring("test"), TokenSettings::default());
        let data_keys = Some(DataKeys::new(db.clone(), keyring.clone(), clock.clone()));
        let hygiene = HygieneSettings { data_keys, ..HygieneSettings::default() };
        let receiver = Receiver::kept_clean(db.clone(), archive.clone(), clock.clone(), settings, hygiene);
        let authenticator = Authenticator::new("secret", db.clone(), clock.clone(), keyring, tokens);
        let app = App::new(db.clone(), archive, clock, HttpLimits::default(), authenticator);
        let pool = Arc::new(DecodePool::inline());
        let state = DicomWebState::new(app.clone(), receiver, pool, PixelLimits::default());
        let router = gate::layers(dicomweb::routes(state), app.clone());
        test(House { app, router, _folder: folder }).await;
    })
    .await;
}

impl House {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// The answer; an error where it breaks off.
    pub async fn try_send(&self, request: Request<Body>) -> Result<Answer, axum::Error> {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// `GET` below `/dicom-web` with further headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, &format!("/dicom-web{path}"), headers).await
    }

    /// Any request without a body; a header `authorization` among `headers` is the only one.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "pacs:8080");
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header(header::AUTHORIZATION, "Bearer secret");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub async fn accepting(&self, path: &str, accept: &str) -> Answer {
        self.get_with(path, &[("accept", accept)]).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let request = Request::post(format!("/dicom-web{path}"))
            .header(header::AUTHORIZATION, "Bearer secret")
            .header(header::CONTENT_TYPE, content_type)
            .header(header::HOST, "pacs:8080");
        // in pieces that respect nothing
        let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
            body.chunks(1_000).map(|it| Ok(it.to_vec())).collect();
        let body = Body::from_stream(futures::stream::iter(pieces));
        self.send(request.body(body).unwrap()).await
    }

    /// Any request with a body of DICOM JSON.
    pub async fn tell(&self, method: Method, path: &str, body: &serde_json::Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/dicom-web{path}"))
            .header(header::AUTHORIZATION, "Bearer secret")
            .header(header::CONTENT_TYPE, "application/dicom+json")
            .header(header::HOST, "pacs:8080");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Stores instances as one request.
    pub async fn store(&self, path: &str, instances: &[Vec<u8>]) -> Answer {
        self.post(path, r#"multipart/related; type="application/dicom"; boundary=b1"#, multipart(instances))
            .await
    }
}

/// A STOW body under the boundary `b1`.
pub fn multipart(instances: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for instance in instances {
        body.extend_from_slice(b"--b1\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(instance);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b1--\r\n");
    body
}

/// A synthetic image: frames of 4 x 4 pixels of 8 bits.
#[derive(Clone)]
pub struct Image {
    pub study: &'static str,
    pub series: &'static str,
    pub instance: String,
    pub number: u32,
    pub modality: &'static str,
    pub name: &'static str,
    pub patient: &'static str,
    pub date: &'static str,
    pub frames: Vec<[u8; 16]>,
    /// Bytes of a private element before the pixels.
    pub ballast: usize,
}

impl Image {
    pub fn new(instance: &str) -> Self {
        Self {
            study: "1.2.3",
            series: "1.2.3.1",
            instance: instance.to_owned(),
            number: 1,
            modality: "CT",
            name: "Muster^Ada",
            patient: "P1",
            date: "20260102",
            frames: vec![std::array::from_fn(|index| index as u8 * 16)],
            ballast: 0,
        }
    }

    /// Its data set without pixels.
    pub fn object(&self) -> InMemDicomObject {
        let text = |tag, vr, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
        let number = |tag, number: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(number));
        InMemDicomObject::from_element_iter([
            text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
            text(tags::SOP_CLASS_UID, VR::UI, CT),
            text(tags::SOP_INSTANCE_UID, VR::UI, &self.instance),
            text(tags::STUDY_DATE, VR::DA, self.date),
            text(tags::STUDY_TIME, VR::TM, "101500"),
            text(tags::ACCESSION_NUMBER, VR::SH, "A-1"),
            text(tags::MODALITY, VR::CS, self.modality),
            text(tags::PATIENT_NAME, VR::PN, self.name),
            text(tags::PATIENT_ID, VR::LO, self.patient),
            text(tags::STUDY_INSTANCE_UID, VR::UI, self.study),
            text(tags::SERIES_INSTANCE_UID, VR::UI, self.series),
            text(tags::INSTANCE_NUMBER, VR::IS, &self.number.to_string()),
            text(tags::NUMBER_OF_FRAMES, VR::IS, &self.frames.len().to_string()),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            number(tags::SAMPLES_PER_PIXEL, 1),
            number(tags::ROWS, 4),
            number(tags::COLUMNS, 4),
            number(tags::BITS_ALLOCATED, 8),
            number(tags::BITS_STORED, 8),
            number(tags::HIGH_BIT, 7),
            number(tags::PIXEL_REPRESENTATION, 0),
            text(dicom_core::Tag(0x0029, 0x0010), VR::LO, "BALLAST"),
            // what looks like pixel data within a value must not be taken for it
            DataElement::new(
                dicom_core::Tag(0x0029, 0x1001),
                VR::OB,
                PrimitiveValue::U8([0xE0, 0x7F, 0x10, 0x00].repeat(self.ballast / 4).into()),
            ),
        ])
    }

    /// A Part 10 file in Explicit VR Little Endian.
    pub fn plain(&self) -> Vec<u8> {
        self.plain_in(EXPLICIT_LE)
    }

    /// A Part 10 file in a transfer syntax that leaves pixels as they are.
    pub fn plain_in(&self, transfer_syntax: &str) -> Vec<u8> {
        let mut object = self.object();
        object.put(DataElement::new(
            tags::PIXEL_DATA,
            VR::OB,
            PrimitiveValue::U8(self.frames.concat().into()),
        ));
        file(object, transfer_syntax)
    }

    /// A Part 10 file without Pixel Data.
    pub fn without_pixels(&self) -> Vec<u8> {
        file(self.object(), EXPLICIT_LE)
    }

    /// The frame as RLE Lossless (PS3.5, annex G): one segment, one literal run.
    pub fn rle_frame(frame: &[u8; 16]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        (bytes[0], bytes[4]) = (1, 64);
        bytes.push(15);
        bytes.extend_from_slice(frame);
        bytes.push(0x80);
        bytes
    }

    /// A Part 10 file in RLE Lossless.
    pub fn compressed(&self) -> Vec<u8> {
        self.compressed_in(RLE)
    }

    /// The same, which says that it is in another transfer syntax.
    pub fn compressed_in(&self, transfer_syntax: &str) -> Vec<u8> {
        let fragments: Vec<Vec<u8>> = self.frames.iter().map(Self::rle_frame).collect();
        let mut object = self.object();
        let pixels = PixelFragmentSequence::new(Vec::<u32>::new(), fragments);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, dicom_core::value::Value::from(pixels)));
        file(object, transfer_syntax)
    }

    /// Its path below `/dicom-web`.
    pub fn path(&self) -> String {
        format!("/studies/{}/series/{}/instances/{}", self.study, self.series, self.instance)
    }
}

/// A Part 10 file.
pub fn file(object: InMemDicomObject, transfer_syntax: &str) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new().transfer_syntax(transfer_syntax);
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}
