//! What is promised of bytes that come in several requests.

use domain::{ChecksumAlgorithm, Content, ContentHasher};

use super::*;
use crate::End;
use crate::pipeline::WORTH_A_SYNC;

const ID: [u8; 16] = [7; 16];

async fn store() -> (tempfile::TempDir, Disk) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open("disk", folder.path()).await.unwrap();
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

async fn append(disk: &Disk, bytes: &[u8], checksums: Vec<Checksum>) -> End {
    let mut appending = disk.append(ID.into(), checksums).await.unwrap();
    for piece in bytes.chunks(100_000) {
        appending.write(piece).await.unwrap();
    }
    appending.end(false).await.unwrap()
}

fn crc32(value: &[u8]) -> Vec<Checksum> {
    vec![Checksum::new(ChecksumAlgorithm::Crc32, value.to_vec()).unwrap()]
}

#[tokio::test]
async fn an_upload_is_hashed_over_many_requests() {
    let (_folder, disk) = store().await;
    let all = bytes(3_000_001);
    let mut offset = 0;
    for piece in all.chunks(700_000) {
        assert_eq!(disk.staged(ID.into()).await.unwrap(), offset);
        let End::Kept(kept) = append(&disk, piece, Vec::new()).await else {
            panic!("nothing is verified");
        };
        offset += piece.len() as u64;
        assert_eq!(kept.offset(), offset);
        assert_eq!(
            kept.content(),
            content(&all[..usize::try_from(offset).unwrap()])
        );
    }
    disk.remove_staged(ID.into()).await.unwrap();
    assert_eq!(disk.list_staged().await.unwrap(), []);
}

#[tokio::test]
async fn what_was_appended_is_kept_when_it_is_dropped() {
    let (_folder, disk) = store().await;
    let mut appending = disk.append(ID.into(), Vec::new()).await.unwrap();
    appending.write(&bytes(1000)).await.unwrap();
    drop(appending);
    // It waits for what was dropped to be written.
    let appending = disk.append(ID.into(), Vec::new()).await.unwrap();
    assert_eq!(appending.offset(), 1000);
}

#[tokio::test]
async fn nobody_else_appends_meanwhile() {
    let (_folder, disk) = store().await;
    let _first = disk.append(ID.into(), Vec::new()).await.unwrap();
    let second = disk.append(ID.into(), Vec::new()).await;
    assert!(matches!(second, Err(Error::InUse)));
    let removed = disk.remove_staged(ID.into()).await;
    assert!(matches!(removed, Err(Error::InUse)));
}

#[tokio::test]
async fn what_is_not_verified_does_not_count() {
    let (_folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    // Cut off, as by a crash: the bytes are there, and do not count.
    let mut appending = disk.append(ID.into(), crc32(&[0; 4])).await.unwrap();
    appending.write(&bytes(2_000_000)).await.unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 3);
    assert_eq!(appending.break_off().await.unwrap(), 3);

    let wrong = append(&disk, b"456789", crc32(&[0; 4])).await;
    assert!(matches!(wrong, End::WrongChecksum(3)));
    let right = append(&disk, b"456789", crc32(&[0xfb, 0x16, 0xb3, 0x75])).await;
    let End::Kept(kept) = right else {
        panic!("it has the checksum");
    };
    assert_eq!(kept.content(), content(b"123456789"));
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 9);
}

fn files(folder: &tempfile::TempDir) -> (PathBuf, PathBuf) {
    let upload = folder.path().join("uploads");
    let upload = upload.join(RandomId::from(ID).to_string());
    (upload.with_extension(PART), upload.with_extension(STATE))
}

async fn kept(disk: &Disk) -> Content {
    match append(disk, b"", Vec::new()).await {
        End::Kept(kept) => kept.content(),
        End::WrongChecksum(_) => panic!("nothing is verified"),
    }
}

#[tokio::test]
async fn what_was_hashed_is_not_read_again() {
    let (folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    // It would show if these were read.
    fs::write(files(&folder).0, "xyz").unwrap();
    assert_eq!(kept(&disk).await, content(b"123"));
}

#[tokio::test]
async fn what_a_dead_process_had_not_hashed_is_hashed() {
    let (folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    for left in ["123456", "12"] {
        fs::write(files(&folder).0, left).unwrap();
        assert_eq!(disk.staged(ID.into()).await.unwrap(), left.len() as u64);
        assert_eq!(kept(&disk).await, content(left.as_bytes()), "{left}");
    }
}

#[tokio::test]
async fn after_a_power_failure_only_what_was_synced_counts() {
    let sync = usize::try_from(WORTH_A_SYNC).unwrap();
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
    // Another boot, and zeros where bytes should be.
    let mut left = fs::read(&part).unwrap();
    left[sync..].fill(0);
    fs::write(&part, left).unwrap();
    let mut said = fs::read(&state).unwrap();
    said[18] ^= 1;
    fs::write(&state, &said).unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), WORTH_A_SYNC);
    assert_eq!(kept(&disk).await, content(&all[..sync]));
    // What is known of the bytes may be zeros as well.
    fs::write(&state, vec![0; said.len()]).unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 0);
    assert_eq!(kept(&disk).await, content(b""));
}

#[tokio::test]
async fn what_is_kept_whole_counts_after_a_power_failure() {
    let (folder, disk) = store().await;
    let End::Kept(part) = append(&disk, b"hello", Vec::new()).await else {
        panic!("nothing is verified");
    };
    part.sync().await.unwrap();
    drop(part);
    let (_, state) = files(&folder);
    let mut said = fs::read(&state).unwrap();
    said[18] ^= 1;
    fs::write(&state, &said).unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 5);
    assert_eq!(disk.open_staged(ID.into(), 5, 0).await.unwrap().size(), 5);
}

#[tokio::test]
async fn what_is_being_written_is_taken_back_after_it_was() {
    let (_folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    for _ in 0..20 {
        let mut appending = disk.append(ID.into(), crc32(&[0; 4])).await.unwrap();
        let piece = bytes(3 * 512 * 1024);
        // Cut off while it waits for a batch.
        let writing = appending.write(&piece);
        let _ = tokio::time::timeout(std::time::Duration::from_micros(300), writing).await;
        drop(appending);
        let after = disk.append(ID.into(), Vec::new()).await.unwrap();
        assert_eq!(after.offset(), 3);
        drop(after);
        assert_eq!(disk.staged(ID.into()).await.unwrap(), 3);
    }
    assert_eq!(kept(&disk).await, content(b"123"));
}

#[tokio::test]
async fn bytes_that_could_not_be_synced_do_not_count() {
    let (folder, disk) = store().await;
    append(&disk, b"123", Vec::new()).await;
    let (_, state) = files(&folder);
    StateFile::lock(&state).unwrap().lose().unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 0);
    assert!(disk.open_staged(ID.into(), 3, 0).await.is_err());
    let End::Kept(kept) = append(&disk, b"abc", Vec::new()).await else {
        panic!("nothing is verified");
    };
    assert_eq!(kept.content(), content(b"abc"));
}

#[tokio::test]
async fn nothing_is_appended_to_what_may_be_an_object() {
    let (_folder, disk) = store().await;
    let End::Kept(kept) = append(&disk, b"hello", Vec::new()).await else {
        panic!("nothing is verified");
    };
    let placed = kept.finish().unwrap().place().await.unwrap();
    let blocked = disk.append(ID.into(), Vec::new()).await;
    assert!(matches!(blocked, Err(Error::InUse)));
    placed.discard().await.unwrap();
    disk.append(ID.into(), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn who_waits_for_the_lock_is_noticed() {
    let (_folder, disk) = store().await;
    let first = disk.append(ID.into(), Vec::new()).await.unwrap();
    assert!(!first.is_wanted().await.unwrap());
    let second = tokio::spawn({
        let disk = disk.clone();
        async move { disk.append(ID.into(), Vec::new()).await.map(drop) }
    });
    while !first.is_wanted().await.unwrap() {
        tokio::task::yield_now().await;
    }
    first.break_off().await.unwrap();
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_finished_upload_stays_until_it_is_removed() {
    let (_folder, disk) = store().await;
    let End::Kept(kept) = append(&disk, b"hello", Vec::new()).await else {
        panic!("nothing is verified");
    };
    let placed = kept.finish().unwrap().place().await.unwrap();
    assert_eq!(disk.staged(ID.into()).await.unwrap(), 5);
    let key = placed.address().key;
    placed.keep().await;
    disk.remove_staged(ID.into()).await.unwrap();
    assert_eq!(disk.size(&key).await.unwrap(), Some(5));
}
