//! QIDO-RS beyond the journey: keys, pages, attributes that are no columns.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use serde_json::{Value, json};

use super::support::{EXPLICIT_LE, House, Image, file, on_each};

/// A series that was requested, of a maker and a time zone; its referring physician has an accent.
fn requested() -> Vec<u8> {
    let mut object = Image::new("1.2.3.1.1").object();
    let text = |tag, vr, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
    let item = InMemDicomObject::from_element_iter([
        text(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "S1"),
        text(tags::REQUESTED_PROCEDURE_ID, VR::SH, "R1"),
    ]);
    let items = DataSetSequence::from(vec![item]);
    object.put(DataElement::new(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, items));
    object.put(text(tags::MANUFACTURER, VR::LO, "Maker"));
    object.put(text(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "+0100"));
    object.put(text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, "Heile^Érna"));
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(vec![0; 16].into())));
    file(object, EXPLICIT_LE)
}

async fn house_of_two(house: &House) {
    let other = Image {
        study: "1.2.4",
        series: "1.2.4.1",
        name: "Beispiel^Bert",
        patient: "P2",
        ..Image::new("1.2.4.1.1")
    };
    assert_eq!(house.store("/studies", &[requested(), other.plain()]).await.status, 200);
}

fn uids(answer: &Value, tag: &str) -> Vec<String> {
    let results = answer.as_array().unwrap().iter();
    results.map(|it| it[tag]["Value"][0].as_str().unwrap().to_owned()).collect()
}

/// PS3.18, table 10.6.1-5 and section 8.3.4.1: keys of sequences are written with dots.
#[tokio::test]
async fn series_are_found_by_what_requested_them() {
    on_each(async |house| {
        house_of_two(&house).await;
        for query in [
            "00400275.00400009=S1",
            "RequestAttributesSequence.RequestedProcedureID=R*",
            "RequestAttributesSequence.00401001=R1\\R2&Modality=CT,MR",
        ] {
            let found = house.get(&format!("/series?{query}")).await.json();
            assert_eq!(uids(&found, "0020000E"), ["1.2.3.1"], "{query}");
            let item = &found[0]["00400275"]["Value"][0];
            assert_eq!(item["00400009"], json!({"vr": "SH", "Value": ["S1"]}));
            assert_eq!(item["00401001"], json!({"vr": "SH", "Value": ["R1"]}));
            assert_eq!(found[0]["00080201"]["Value"], json!(["+0100"]));
        }
        assert_eq!(house.get("/series?00400275.00400009=S2").await.json(), json!([]));
    })
    .await;
}

/// PS3.4, C.2.2.2.5.3: the study of 2 January, 10:15.
#[tokio::test]
async fn studies_are_found_by_their_classes_and_by_a_stretch_of_time() {
    on_each(async |house| {
        house_of_two(&house).await;
        let found = async |query: &str| house.get(&format!("/studies?{query}")).await.json();
        let told = found("SOPClassesInStudy=1.2.840.10008.5.1.4.1.1.2&PatientID=P2").await;
        assert_eq!(told[0]["00080062"], json!({"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}));
        assert!(found("PatientID=P2").await[0].get("00080062").is_none(), "not asked for");
        assert_eq!(found("00080062=1.2.3").await, json!([]));
        for (times, count) in [("1000-0900", 2), ("1016-0900", 0)] {
            let query = format!("StudyDate=20260102-20260103&StudyTime={times}");
            assert_eq!(found(&query).await.as_array().unwrap().len(), count, "{times}");
        }
    })
    .await;
}

#[tokio::test]
async fn names_are_found_by_words_and_a_warning_says_where_they_are_not() {
    on_each(async |house| {
        house_of_two(&house).await;
        for query in ["PatientName=ada must", "ReferringPhysicianName=erna", "PatientName=MUSTER^*"] {
            let found =
                house.get(&format!("/studies?fuzzymatching=true&{}", query.replace(' ', "%20"))).await;
            assert_eq!(uids(&found.json(), "0020000D"), ["1.2.3"], "{query}");
            assert_eq!(found.header("warning"), "");
        }
        let literal = house.get("/studies?fuzzymatching=true&PatientName=M?ster*").await;
        assert_eq!(uids(&literal.json(), "0020000D"), ["1.2.3"]);
        assert!(literal.header("warning").starts_with("299 "), "PS3.18, section 8.3.4.2");
    })
    .await;
}

#[tokio::test]
async fn a_page_says_how_many_there_are_and_which_keys_were_passed_by() {
    on_each(async |house| {
        house_of_two(&house).await;
        for (query, shown, total) in [
            ("", 2, "2"),
            ("limit=1", 1, "2"),
            ("limit=1&offset=1", 1, "2"),
            ("offset=9", 0, "2"),
            ("PatientID=P1", 1, "1"),
        ] {
            let page = house.get(&format!("/studies?{query}")).await;
            assert_eq!(page.json().as_array().unwrap().len(), shown, "{query}");
            assert_eq!(page.header("x-total-count"), total, "{query}");
        }
        let ignored = house.get("/studies?PatientWeight=80&PatientID=P1\\P3").await;
        assert_eq!(ignored.json().as_array().unwrap().len(), 1);
        assert!(ignored.header("warning").contains("00101030"), "{}", ignored.header("warning"));
        let twice = house.get("/studies?PatientID=P1&PatientID=P2").await;
        assert_eq!(twice.json().as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn attributes_that_are_no_columns_come_from_the_data_set() {
    on_each(async |house| {
        house_of_two(&house).await;
        let instance = "/studies/1.2.3/instances";
        let plain = house.get(instance).await.json();
        assert!(plain[0]["00080070"].is_null() && plain[0]["00100020"].is_null());
        let maker = json!({"vr": "LO", "Value": ["Maker"]});
        let fields = house.get(&format!("{instance}?includefield=Manufacturer,00280004")).await.json();
        assert_eq!(
            (&fields[0]["00080070"], &fields[0]["00280004"]["Value"]),
            (&maker, &json!(["MONOCHROME2"]))
        );
        assert!(fields[0]["00280101"].is_null());
        let all = house.get(&format!("{instance}?includefield=all")).await.json();
        assert_eq!((&all[0]["00080070"], &all[0]["00280101"]["Value"]), (&maker, &json!([8])));
        let bulk = all[0]["7FE00010"]["BulkDataURI"].as_str().unwrap();
        assert!(bulk.starts_with("http://pacs:8080/dicom-web/studies/1.2.3/series/1.2.3.1/"), "{bulk}");
        assert_eq!(all[0]["00201208"]["Value"], json!([1]), "and from the levels above");
        for level in ["studies", "series"] {
            let found =
                house.get(&format!("/{level}?StudyInstanceUID=1.2.3&includefield=Manufacturer")).await.json();
            assert_eq!(found[0]["00080070"], maker, "{level}: as one of its instances says");
        }
    })
    .await;
}

#[tokio::test]
async fn instances_are_found_by_what_their_images_are() {
    on_each(async |house| {
        house_of_two(&house).await;
        for (query, count) in [
            ("Rows=4&Columns=4,8&BitsAllocated=8", 2),
            ("NumberOfFrames=2", 0),
            ("AvailableTransferSyntaxUID=1.2.840.10008.1.2.1", 2),
            ("SOPInstanceUID=1.2.3.1.1,1.2.9", 1),
            ("SeriesInstanceUID=1.2.4.1", 1),
            ("StudyDate=20260101-20260131&PatientName=b*", 1),
        ] {
            let found = house.get(&format!("/instances?{query}")).await.json();
            assert_eq!(found.as_array().unwrap().len(), count, "{query}");
        }
    })
    .await;
}

/// PS3.18, section 8.9.
#[tokio::test]
async fn whoever_asks_is_told_what_the_service_can_do() {
    on_each(async |house| {
        for (method, path) in [("OPTIONS", "/dicom-web/"), ("GET", "/dicom-web/capabilities")] {
            let told = house.ask(method.parse().unwrap(), path, &[]).await;
            assert_eq!(
                (told.status.as_u16(), told.header("content-type")),
                (200, "application/json"),
                "{method} {path}"
            );
            let resources = &told.json()["application"]["resources"];
            assert_eq!(resources["@base"], "http://pacs:8080/dicom-web/");
            let studies =
                resources["resource"].as_array().unwrap().iter().find(|it| it["@path"] == "studies").unwrap();
            let methods = studies["method"].as_array().unwrap().iter();
            let names: Vec<&str> = methods.map(|it| it["@name"].as_str().unwrap()).collect();
            assert_eq!(names, ["GET", "POST"]);
        }
    })
    .await;
}
