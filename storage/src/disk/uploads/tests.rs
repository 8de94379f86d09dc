//! Tests of uploads that arrive in several requests.

use std::{fs, path::PathBuf};

use domain::{Checksum, ChecksumAlgorithm, Content, ContentHasher, RandomId};

use super::state::{PART, StateFile};
use crate::{
    disk::{Disk, sync::SYNC_THRESHOLD},
    error::Error,
    memory::Memory,
    store::{AppendOutcome, AppendWriter, AppendedBytes},
};

const ID: [u8; 16] = [7; 16];

async fn store() -> (tempfile::TempDir, Disk) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open("disk", folder.path(), 0, Memory::default())
        .await
        .unwrap();
    (folder, disk)
}

fn content(bytes: &[u8]) -> Content {
    let mut hasher = ContentHasher::default();
    hasher.update(bytes);
    hasher.finish()
}

fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

async fn append(disk: &Disk, bytes: &[u8], checksums: Vec<Checksum>) -> AppendOutcome {
    let mut writer: AppendWriter = disk.append(ID.into(), checksums).await.unwrap().into();
    for piece in bytes.chunks(100_000) {
        writer.write(piece).await.unwrap();
    }
    writer.end(false).await.unwrap()
}

/// Appends bytes without a checksum.
async fn append_unverified(disk: &Disk, bytes: &[u8]) -> AppendedBytes {
    match append(disk, bytes, Vec::new()).await {
        AppendOutcome::Appended(appended) => *appended,
        AppendOutcome::ChecksumMismatch(_) => panic!("nothing is verified"),
    }
}

fn crc32(value: &[u8]) -> Vec<Checksum> {
    vec![Checksum::new(ChecksumAlgorithm::Crc32, value.to_vec())]
}

#[tokio::test]
async fn an_upload_is_hashed_over_many_requests() {
    let (_folder, disk) = store().await;
    let all = bytes(3_000_001);
    let mut offset = 0;
    for piece in all.chunks(700_000) {
        assert_eq!(disk.staged(ID.into()).await.unwrap(), offset);
        let appended = append_unverified(&disk, piece).await;
        offset += piece.len() as u64;
        assert_eq!(appended.offset(), offset);
        assert_eq!(
            appended.content(),
            content(&all[..usize::try_from(offset).unwrap()])
        );
    }
    disk.remove_staged(ID.into()).await.unwrap();
    assert_eq!(disk.list_staged().await.unwrap(), []);
}

#[tokio::test]
async fn appended_bytes_are_kept_when_the_writer_is_dropped() {
    let (_folder, disk) = store().await;
    let mut writer = disk.append(ID.into(), Vec::new()).await.unwrap();
    writer.write(&bytes(1000)).await.unwrap();
    drop(writer);
    // This waits until the dropped writer has written its bytes.
    let writer = disk.append(ID.into(), Vec::new()).await.unwrap();
    assert_eq!(writer.offset(), 1000);
}

#[tokio::test]
async fn only_one_request_appends_at_a_time() {
    let (_folder, disk) = store().await;
    let _first = disk.append(ID.into(), Vec::new()).await.unwrap();
    let second = disk.append(ID.into(), Vec::new()).await;
    assert!(matches!(second, Err(Error::InUse)));
    let removed = disk.remove_staged(ID.into()).await;
    assert!(matches!(removed, Err(Error::InUse)));
}

#[tokio::test]
async fn unverified_bytes_do_not_count() {
    let (_folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    // Cut off, as by a crash: the bytes are in the file, but do not count.
    let mut writer = disk.append(ID.into(), crc32(&[0; 4])).await.unwrap();
    writer.write(&bytes(2_000_000)).await.unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 3);
    assert_eq!(writer.suspend().await.unwrap(), 3);

    let wrong = append(&disk, b"456789", crc32(&[0; 4])).await;
    assert!(matches!(wrong, AppendOutcome::ChecksumMismatch(3)));
    let right = append(&disk, b"456789", crc32(&[0xfb, 0x16, 0xb3, 0x75])).await;
    let AppendOutcome::Appended(appended) = right else {
        panic!("the bytes match the checksum");
    };
    assert_eq!(appended.content(), content(b"123456789"));
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 9);
}

fn files(folder: &tempfile::TempDir) -> (PathBuf, PathBuf) {
    let upload = folder.path().join("uploads");
    let upload = upload.join(RandomId::from(ID).to_string());
    (upload.with_extension(PART), upload.with_extension("state"))
}

/// Returns the content that the upload has so far.
async fn staged_content(disk: &Disk) -> Content {
    append_unverified(disk, b"").await.content()
}

#[tokio::test]
async fn hashed_bytes_are_not_read_again() {
    let (folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    // If these were read, the content would differ.
    fs::write(files(&folder).0, "xyz").unwrap();
    assert_eq!(staged_content(&disk).await, content(b"123"));
}

#[tokio::test]
async fn bytes_that_a_dead_process_did_not_hash_are_hashed() {
    let (folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    for left in ["123456", "12"] {
        fs::write(files(&folder).0, left).unwrap();
        assert_eq!(disk.staged(ID.into()).await.unwrap(), left.len() as u64);
        assert_eq!(
            staged_content(&disk).await,
            content(left.as_bytes()),
            "{left}"
        );
    }
}

#[tokio::test]
async fn after_a_power_failure_only_synced_bytes_count() {
    let sync = usize::try_from(SYNC_THRESHOLD).unwrap();
    let (folder, disk) = store().await;
    let all = bytes(sync + 1000);
    append(&disk, &all[..sync], Vec::new()).await;
    let (part, state) = files(&folder);
    for _ in 0..500 {
        if StateFile::peek(&state).unwrap().synced > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    append(&disk, &all[sync..], Vec::new()).await;
    assert_eq!(disk.staged(ID.into()).await.unwrap(), all.len() as u64);
    // Another boot ID, and zeros in place of bytes.
    let mut left = fs::read(&part).unwrap();
    left[sync..].fill(0);
    fs::write(&part, left).unwrap();
    let mut record = fs::read(&state).unwrap();
    record[18] ^= 1;
    fs::write(&state, &record).unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), SYNC_THRESHOLD);
    assert_eq!(staged_content(&disk).await, content(&all[..sync]));
    // The state may be zeros as well.
    fs::write(&state, vec![0; record.len()]).unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 0);
    assert_eq!(staged_content(&disk).await, content(b""));
}

#[tokio::test]
async fn synced_bytes_count_after_a_power_failure() {
    let (folder, disk) = store().await;
    let appended = append_unverified(&disk, b"hello").await;
    appended.sync().await.unwrap();
    drop(appended);
    let (_, state) = files(&folder);
    let mut record = fs::read(&state).unwrap();
    record[18] ^= 1;
    fs::write(&state, &record).unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 5);
    assert_eq!(disk.open_staged(ID.into(), 5, 0).await.unwrap().size(), 5);
}

#[tokio::test]
async fn unverified_bytes_are_dropped_after_their_write_has_ended() {
    let (_folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    for _ in 0..20 {
        let mut writer = disk.append(ID.into(), crc32(&[0; 4])).await.unwrap();
        let piece = bytes(3 * 512 * 1024);
        // Cut off while the writer waits for a batch.
        let writing = writer.write(&piece);
        let _ = tokio::time::timeout(std::time::Duration::from_micros(300), writing).await;
        drop(writer);
        let after = disk.append(ID.into(), Vec::new()).await.unwrap();
        assert_eq!(after.offset(), 3);
        drop(after);
        assert_eq!(disk.staged(ID.into()).await.unwrap(), 3);
    }
    assert_eq!(staged_content(&disk).await, content(b"123"));
}

#[tokio::test]
async fn bytes_that_could_not_be_synced_do_not_count() {
    let (folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    let (_, state) = files(&folder);
    StateFile::lock(&state).unwrap().mark_lost().unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 0);
    assert!(disk.open_staged(ID.into(), 3, 0).await.is_err());
    let appended = append_unverified(&disk, b"abc").await;
    assert_eq!(appended.content(), content(b"abc"));
}

#[tokio::test]
async fn no_bytes_are_appended_to_a_file_that_may_be_an_object() {
    let (_folder, disk) = store().await;
    let appended = append_unverified(&disk, b"hello").await;
    let object = appended.finish().unwrap().persist().await.unwrap();
    let blocked = disk.append(ID.into(), Vec::new()).await;
    assert!(matches!(blocked, Err(Error::InUse)));
    object.discard().await.unwrap();
    disk.append(ID.into(), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn an_upload_goes_on_without_the_object_that_a_dead_process_made_of_it() {
    let (folder, disk) = store().await;
    append(&disk, b"hello", Vec::new()).await;
    let (part, _) = files(&folder);
    let object = folder.path().join("object");
    fs::hard_link(&part, &object).unwrap();
    let appended = append_unverified(&disk, b" world").await;
    assert_eq!(appended.content(), content(b"hello world"));
    drop(appended);
    assert_eq!(fs::read(&object).unwrap(), b"hello");
    assert_eq!(fs::read(&part).unwrap(), b"hello world");
}

#[tokio::test]
async fn a_request_that_waits_for_the_lock_is_noticed() {
    let (_folder, disk) = store().await;
    let first = disk.append(ID.into(), Vec::new()).await.unwrap();
    assert!(!first.is_superseded().await.unwrap());
    let second = tokio::spawn({
        let disk = disk.clone();
        async move { disk.append(ID.into(), Vec::new()).await.map(drop) }
    });
    while !first.is_superseded().await.unwrap() {
        tokio::task::yield_now().await;
    }
    first.suspend().await.unwrap();
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_finished_upload_stays_until_it_is_removed() {
    let (_folder, disk) = store().await;
    let appended = append_unverified(&disk, b"hello").await;
    let object = appended.finish().unwrap().persist().await.unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 5);
    let key = object.address().key;
    object.commit().await;
    disk.remove_staged(ID.into()).await.unwrap();
    assert_eq!(disk.size(&key).await.unwrap(), Some(5));
}
