//! A file that is an image and a program at once is an image alone where it is given away (PS3.15, annex H).

use axum::http::Method;

use super::support::{Image, on_each};

/// The image behind a preamble that begins so.
fn behind(image: &Image, head: &[u8]) -> Vec<u8> {
    let mut bytes = image.plain();
    bytes[..128].fill(b'x');
    bytes[..head.len()].copy_from_slice(head);
    bytes
}

#[tokio::test]
async fn a_program_before_an_image_is_cleared_and_nothing_else_changes() {
    on_each(async |house| {
        let heads: [(&[u8], bool); 4] =
            [(b"MZ\x90\0", true), (b"\x7FELF\x02", true), (b"II*\0", false), (b"", false)];
        for (number, (head, is_program)) in heads.into_iter().enumerate() {
            let image = Image { ballast: 400_000, ..Image::new(&format!("1.2.3.1.{}", number + 1)) };
            let stored = behind(&image, head);
            assert_eq!(house.store("/studies", std::slice::from_ref(&stored)).await.status, 200);
            let mut expected = stored;
            if is_program {
                expected[..128].fill(0);
            }
            let whole = house.accepting(&image.path(), "application/dicom").await;
            assert!(whole.body == expected, "{head:?}");
            assert_eq!(whole.header("content-length"), expected.len().to_string());
            let parts = house.accepting(&image.path(), r#"multipart/related; type="application/dicom""#).await;
            assert!(parts.parts()[0].1 == expected);
            assert_eq!(parts.header("content-length"), parts.body.len().to_string());
            let wado = format!(
                "/wado?requestType=WADO&studyUID=1.2.3&seriesUID=1.2.3.1&objectUID={}&contentType=application/dicom",
                image.instance
            );
            assert!(house.ask(Method::GET, &wado, &[]).await.body == expected);
            for (range, from, to) in [
                ("bytes=0-3", 0, 4),
                ("bytes=2-127", 2, 128),
                ("bytes=1-131", 1, 132),
                ("bytes=100-300000", 100, 300_001),
                ("bytes=130-140", 130, 141),
            ] {
                let part = house.get_with(&image.path(), &[("accept", "application/dicom"), ("range", range)]).await;
                assert_eq!((part.status.as_u16(), part.header("etag")), (206, whole.header("etag")));
                assert!(part.body == expected[from..to], "{range}");
            }
        }
    })
    .await;
}
