//! Images of real numbers: described, given frame by frame, shown.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;

use super::support::{DEFLATED, EXPLICIT_LE, Image, file, on_each};

/// Two frames of four by four, each number an eighth of its place.
fn numbers() -> Vec<f32> {
    (0..32_u8).map(|place| f32::from(place) / 8.0).collect()
}

fn parametric_map(image: &Image, transfer_syntax: &str) -> Vec<u8> {
    let mut object = image.object();
    for tag in [tags::BITS_STORED, tags::HIGH_BIT, tags::PIXEL_REPRESENTATION] {
        object.remove_element(tag);
    }
    object.put(DataElement::new(tags::BITS_ALLOCATED, VR::US, PrimitiveValue::from(32_u16)));
    object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, PrimitiveValue::from("2")));
    let pixels = PrimitiveValue::F32(numbers().into());
    object.put(DataElement::new(tags::FLOAT_PIXEL_DATA, VR::OF, pixels));
    file(object, transfer_syntax)
}

#[tokio::test]
async fn real_numbers_are_described_given_and_shown() {
    on_each(async |house| {
        let bytes: Vec<u8> = numbers().into_iter().flat_map(f32::to_le_bytes).collect();
        for (number, syntax) in [(1, EXPLICIT_LE), (2, DEFLATED)] {
            let image = Image { number, ..Image::new(&format!("1.2.3.1.{number}")) };
            assert_eq!(house.store("/studies", &[parametric_map(&image, syntax)]).await.status, 200);
            let at = |tail: &str| format!("{}{tail}", image.path());

            let metadata = &house.get(&at("/metadata")).await.json()[0];
            let told = metadata["7FE00008"]["BulkDataURI"].as_str().unwrap();
            assert!(told.ends_with("/bulkdata/7FE00008"), "{told}");
            assert_eq!((metadata["7FE00008"]["vr"].as_str(), metadata.get("7FE00010")), (Some("OF"), None));

            let frames: Vec<Vec<u8>> =
                house.get(&at("/frames/2,1")).await.parts().into_iter().map(|(_, body)| body).collect();
            assert_eq!(frames, [&bytes[64..], &bytes[..64]]);
            let whole: Vec<u8> =
                house.get(&at("/bulkdata/7FE00008")).await.parts().into_iter().flat_map(|it| it.1).collect();
            assert_eq!(whole, bytes);
            for other in ["/bulkdata/7FE00009", "/bulkdata/7FE00010"] {
                assert_eq!(house.get(&at(other)).await.status, 404, "{other}");
            }

            let window = "/frames/1/rendered?window=0.5,0.5,linear-exact";
            let picture = house.accepting(&at(window), "image/png").await;
            let shades = image::load_from_memory(&picture.body).unwrap().to_luma8().into_raw();
            assert_eq!(shades[1..8], [0, 0, 64, 128, 191, 255, 255], "0.25 is black and 0.75 is white");
            let jpeg = house.accepting(&at("/frames/1"), "image/jls").await;
            assert_eq!((jpeg.status.as_u16(), jpeg.code().as_str()), (406, "not-representable"));
        }
    })
    .await;
}
