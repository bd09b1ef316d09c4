//! Patients see their own images, and nobody else's.

use axum::http::Method;
use clinical::id::ClinicId;
use clinical::role::Role;
use storage::records::instance::Instance;
use storage::records::member::Position;

use super::support::{House, Image, on_each};

/// The token of whoever the image is of.
async fn token_of_patient(house: &House, image: &Image) -> String {
    let mut rows = house.app.db.read().await.unwrap();
    let uid = image.instance.parse().unwrap();
    let stored = Instance::by_uid(&mut rows, ClinicId::DEFAULT, &uid).await.unwrap().unwrap();
    drop(rows);
    let position = Position { patient_id: Some(stored.patient_id), ..Position::of(Role::Patient) };
    gate::testing::token_of(&house.app, ClinicId::DEFAULT, &position).await
}

#[tokio::test]
async fn patients_read_their_own_images_and_no_others() {
    on_each(async |house| {
        let own = Image::new("1.2.3.1.1");
        let other = Image {
            study: "1.2.4",
            series: "1.2.4.1",
            patient: "P2",
            name: "Other^Person",
            ..Image::new("1.2.4.1.1")
        };
        assert_eq!(house.store("/studies", &[own.plain(), other.plain()]).await.status, 200);
        let bearer = format!("Bearer {}", token_of_patient(&house, &own).await);
        let status = async |method: Method, path: String| {
            house.ask(method, &path, &[("authorization", &bearer)]).await.status.as_u16()
        };
        let of = |image: &Image, tail: &str| format!("/dicom-web{}{tail}", image.path());
        for tail in [
            "",
            "/metadata",
            "/frames/1",
            "/rendered",
            "/thumbnail",
            "/bulkdata/7FE00010",
            "/frames/1/rendered",
        ] {
            assert_eq!(status(Method::GET, of(&own, tail)).await, 200, "{tail}");
            assert_eq!(status(Method::GET, of(&other, tail)).await, 404, "{tail}: as if it were not there");
        }
        let wado = |image: &Image| {
            let Image { study, series, instance, .. } = image;
            format!("/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}")
        };
        assert_eq!(status(Method::GET, wado(&own)).await, 200);
        assert_eq!(status(Method::GET, wado(&other)).await, 404);
        assert_eq!(status(Method::POST, "/dicom-web/studies".to_owned()).await, 403, "they store nothing");
    })
    .await;
}
