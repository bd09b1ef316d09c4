//! Over a local folder and an S3 server.

use super::*;
use crate::testing::{instance_facts, now, on_both, place_of};
use clinical::id::ClinicId;

/// The local folder, and the S3 server that `./test` starts.
async fn on_each_store<F: AsyncFn(Archive)>(test: F) {
    let folder = tempfile::tempdir().unwrap();
    test(Archive::folder(folder.path()).unwrap()).await;
    let (url, options) = crate::testing::s3();
    let url = format!("{url}/{}", ClinicId::new());
    test(Archive::open(&url, options).unwrap()).await;
}

#[tokio::test]
async fn a_blob_reads_back_whole_in_part_and_piece_by_piece() {
    on_each_store(async |archive| {
        archive.check().await.unwrap();
        let chunks = [Bytes::from_static(b"DI"), Bytes::from_static(b"COM")];
        archive.put("clinics/a/1.dcm", chunks).await.unwrap();
        assert_eq!(archive.get("clinics/a/1.dcm").await.unwrap(), "DICOM");
        assert_eq!(archive.get_range("clinics/a/1.dcm", 1..4).await.unwrap(), "ICO");
        let pieces: Vec<Bytes> =
            archive.stream("clinics/a/1.dcm").await.unwrap().try_collect().await.unwrap();
        assert_eq!(pieces.concat(), b"DICOM");
        assert!(matches!(archive.get("clinics/a/2.dcm").await, Err(ArchiveError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn a_spooled_file_of_several_parts_arrives_bit_for_bit() {
    on_each_store(async |archive| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..PART_BYTES * 2 + 17).map(|index| (index % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        archive.put_file("clinics/a/big.dcm", file.reopen().unwrap()).await.unwrap();
        assert_eq!(archive.get("clinics/a/big.dcm").await.unwrap(), bytes);
    })
    .await;
}

#[tokio::test]
async fn the_sweep_removes_what_no_row_names_once_it_is_old() {
    on_both(async |db| {
        on_each_store(async |archive| {
            let name = ClinicId::new();
            let mut facts = instance_facts(&format!("1.2.{}", name.0.as_u128()), "aa");
            facts.blob_key = format!("clinics/{name}/kept.dcm");
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
            place.insert(&mut tx, &facts, now()).await.unwrap();
            tx.commit().await.unwrap();
            archive.put(&facts.blob_key, [Bytes::from_static(b"kept")]).await.unwrap();
            archive.put("clinics/x/orphan.dcm", [Bytes::from_static(b"orphan")]).await.unwrap();

            let (hour, present) =
                (TimeDelta::hours(1), clinical::clock::Clock::now(&clinical::clock::SystemClock));
            let young = archive.sweep(&db, present, hour).await.unwrap();
            assert_eq!(young, Swept { seen: 2, removed: 0 });
            let old = archive.sweep(&db, present + hour * 2, hour).await.unwrap();
            assert_eq!(old, Swept { seen: 2, removed: 1 });
            assert_eq!(archive.get(&facts.blob_key).await.unwrap(), "kept");
        })
        .await;
    })
    .await;
}

/// A fresh database over a full archive names nothing: a sweep that trusted it would remove everything.
#[tokio::test]
async fn an_archive_of_another_database_is_not_swept() {
    on_each_store(async |archive| {
        let orphan = "clinics/x/orphan.dcm";
        archive.put(orphan, [Bytes::from_static(b"theirs")]).await.unwrap();
        let later = clinical::clock::Clock::now(&clinical::clock::SystemClock) + TimeDelta::hours(2);
        let is_first = std::cell::Cell::new(true);
        on_both(async |db| {
            if is_first.replace(false) {
                archive.belong_to(&db).await.unwrap();
                archive.belong_to(&db).await.unwrap();
                return;
            }
            let refused = archive.sweep(&db, later, TimeDelta::hours(1)).await;
            assert!(matches!(refused, Err(ArchiveError::Foreign)));
        })
        .await;
        assert_eq!(archive.get(orphan).await.unwrap(), "theirs");
    })
    .await;
}

#[tokio::test]
async fn the_sweep_removes_what_a_killed_process_was_writing() {
    on_both(async |db| {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::folder(folder.path()).unwrap();
        std::fs::create_dir_all(folder.path().join("clinics/x")).unwrap();
        std::fs::write(folder.path().join("clinics/x/half.dcm#1"), "half").unwrap();
        let present = clinical::clock::Clock::now(&clinical::clock::SystemClock);
        let hour = TimeDelta::hours(1);
        assert_eq!(archive.sweep(&db, present, hour).await.unwrap().removed, 0, "it may still be written");
        assert_eq!(archive.sweep(&db, present + hour * 2, hour).await.unwrap().removed, 1);
    })
    .await;
}

#[test]
fn a_url_of_no_known_store_is_refused() {
    assert!(matches!(Archive::open("ftp://example/x", []), Err(ArchiveError::Url(_))));
}

/// A name that is sealed, in the default clinic.
fn sealed_name(name: &str) -> String {
    format!("clinics/{}/{name}.dcm.sealed", ClinicId::DEFAULT)
}

fn data_keys(db: &Db) -> DataKeys {
    DataKeys::new(db.clone(), crate::testing::keyring("a"), Arc::new(clinical::clock::SystemClock))
}

/// More than three chunks, with a mark that a search for plain bytes would find.
fn pixels() -> Vec<u8> {
    b"DICM".iter().copied().chain((0..200_000_u32).flat_map(|index| index.to_le_bytes())).collect()
}

/// Whole, piece by piece, and in ranges across the borders of chunks.
async fn reads_back(archive: &Archive, name: &str, plain: &[u8]) {
    assert_eq!(archive.get(name).await.unwrap(), plain);
    let pieces: Vec<Bytes> = archive.stream(name).await.unwrap().try_collect().await.unwrap();
    assert_eq!(pieces.concat(), plain);
    let length = plain.len();
    for (start, end) in [
        (0, 4),
        (65_535, 65_537),
        (65_536, 131_072),
        (1, 199_999),
        (196_607, 196_609),
        (length - 3, length),
        (0, length),
    ] {
        let part = archive.get_range(name, start as u64..end as u64).await.unwrap();
        assert_eq!(part, plain[start..end], "{start}..{end}");
    }
    let beyond = archive.get_range(name, length as u64 - 5..length as u64 + 5).await.unwrap();
    assert_eq!(beyond, plain[length - 5..], "a range ends with the blob, as that of a plain one does");
}

#[tokio::test]
async fn a_sealed_blob_is_read_at_plain_offsets_and_lies_unreadable_in_the_store() {
    on_both(async |db| {
        on_each_store(async |archive| {
            let sealing = archive.clone().with_keys(data_keys(&db), NewBlobs::Sealed);
            let (name, plain) = (sealed_name("1"), pixels());
            assert_eq!(sealing.name_of_new("clinics/a/1.dcm".into()), "clinics/a/1.dcm.sealed");
            let halves = [Bytes::copy_from_slice(&plain[..70_000]), Bytes::copy_from_slice(&plain[70_000..])];
            sealing.put(&name, halves).await.unwrap();
            reads_back(&sealing, &name, &plain).await;
            let again = archive.clone().with_keys(data_keys(&db), NewBlobs::Plain);
            reads_back(&again, &name, &plain).await;

            let stored = archive.store.get(&archive.path(&name)).await.unwrap().bytes().await.unwrap();
            assert_eq!(stored.len(), plain.len() + 71 + 13 * 16, "a header, and a tag for each of 13 chunks");
            assert!(!stored.windows(8).any(|window| plain.starts_with(window)));
            let blind = archive.get(&name).await;
            assert!(matches!(blind, Err(ArchiveError::Sealed)), "without keys");
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_spooled_file_is_sealed_on_its_way() {
    on_both(async |db| {
        on_each_store(async |archive| {
            let sealing = archive.with_keys(data_keys(&db), NewBlobs::Sealed);
            let file = tempfile::NamedTempFile::new().unwrap();
            let bytes: Vec<u8> = (0..PART_BYTES * 2 + 17).map(|index| (index % 251) as u8).collect();
            std::fs::write(file.path(), &bytes).unwrap();
            sealing.put_file(&sealed_name("big"), file.reopen().unwrap()).await.unwrap();
            reads_back(&sealing, &sealed_name("big"), &bytes).await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn blobs_that_were_stored_plain_stay_readable_when_new_ones_are_sealed() {
    on_both(async |db| {
        on_each_store(async |archive| {
            let plain = archive.name_of_new("clinics/a/1.dcm".to_owned());
            archive.put(&plain, [Bytes::from(pixels())]).await.unwrap();
            let sealing = archive.with_keys(data_keys(&db), NewBlobs::Sealed);
            reads_back(&sealing, &plain, &pixels()).await;
        })
        .await;
    })
    .await;
}

/// Whether every way to read the bytes at `at` refuses.
async fn is_refused(archive: &Archive, name: &str, at: u64) -> bool {
    let is_damaged = |error| matches!(error, ArchiveError::Damaged(_));
    let whole = archive.get(name).await.is_err_and(is_damaged);
    let pieces = match archive.stream(name).await {
        Ok(pieces) => pieces.try_collect::<Vec<_>>().await.is_err_and(is_damaged),
        Err(error) => is_damaged(error),
    };
    whole && pieces && archive.get_range(name, at..at + 1).await.is_err_and(is_damaged)
}

#[tokio::test]
async fn a_flipped_bit_and_a_cut_chunk_are_errors() {
    on_both(async |db| {
        let folder = tempfile::tempdir().unwrap();
        let sealing = || Archive::folder(folder.path()).unwrap().with_keys(data_keys(&db), NewBlobs::Sealed);
        let (name, plain) = (sealed_name("1"), pixels());
        sealing().put(&name, [Bytes::from(plain.clone())]).await.unwrap();
        let path = folder.path().join(&name);
        let whole = std::fs::read(&path).unwrap();

        let mut flipped = whole.clone();
        flipped[71 + 65_552 + 100] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        assert!(is_refused(&sealing(), &name, 65_536).await, "the second chunk is not what it was");
        assert!(sealing().get_range(&name, 0..10).await.is_ok(), "the first chunk is");

        let last_chunk_at = 71 + 12 * 65_552;
        for length in [last_chunk_at, last_chunk_at + 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(is_refused(&sealing(), &name, 11 * 65_536 + 65_535).await || length > last_chunk_at);
            let reader = sealing();
            assert!(reader.get(&name).await.is_err() && reader.get_range(&name, 0..900_000).await.is_err());
        }
        std::fs::write(&path, &whole[..70]).unwrap();
        assert!(is_refused(&sealing(), &name, 0).await, "not even a header");

        std::fs::write(&path, &whole).unwrap();
        let reader = sealing();
        reader.get_range(&name, 0..10).await.unwrap();
        std::fs::write(&path, &whole[..last_chunk_at]).unwrap();
        assert!(reader.get_range(&name, 0..10).await.is_err(), "cut after its key was remembered");
    })
    .await;
}

#[tokio::test]
async fn another_clinics_key_does_not_open_and_a_blob_opens_under_its_own_name_alone() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let other = crate::records::clinic::Clinic::create(&mut tx, "Other", "UTC", now()).await.unwrap();
        tx.commit().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sealing = Archive::folder(folder.path()).unwrap().with_keys(data_keys(&db), NewBlobs::Sealed);
        let theirs = format!("clinics/{}/1.dcm.sealed", other.clinic_id);
        sealing.put(&sealed_name("1"), [Bytes::from_static(b"ours")]).await.unwrap();
        sealing.put(&theirs, [Bytes::from_static(b"theirs")]).await.unwrap();

        let ours = folder.path().join(sealed_name("1"));
        std::fs::copy(&ours, folder.path().join(sealed_name("2"))).unwrap();
        assert!(is_refused(&sealing, &sealed_name("2"), 0).await);
        std::fs::copy(&ours, folder.path().join(&theirs)).unwrap();
        let reader = Archive::folder(folder.path()).unwrap().with_keys(data_keys(&db), NewBlobs::Sealed);
        assert!(matches!(reader.get(&theirs).await, Err(ArchiveError::Key(_))), "our key is none of theirs");
    })
    .await;
}
