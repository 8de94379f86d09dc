//! A clock that leaps removes nothing.

use std::{fs, time::Duration};

use harness::{Kind, Server, TusUpload, eventually, program, random};
use serde_json::json;
use tokio::time::sleep;

/// The system's library that fakes the clock of a program, and follows a file.
fn library() -> String {
    // It names its package if that is not there.
    let output = program("faketime").arg("--version").output();
    output.expect("the package faketime is installed");
    let places = fs::read_dir("/usr/lib").unwrap();
    let mut found = places
        .map(|place| place.unwrap().path().join("faketime/libfaketimeMT.so.1"))
        .filter(|library| library.exists());
    found.next().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_clock_that_leaps_removes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let library = library();
    let settings = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        // A sweep each second.
        ("FILESERVER_COPY_GRACE", "0"),
    ];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    let client = server.client();
    let (deleted, bytes) = client.upload_some("deleted.txt").await;
    client.delete(&deleted).await;
    let rest = random(1_000);
    let upload = TusUpload::begin(client, 1_500, &[("filename", "a.bin")]).await;
    assert_eq!(upload.append(0, rest[..500].to_vec()).await.status, 204);

    let leaps = || server.log().matches("the clock leapt").count();
    for leap in ["+40d", "+0"] {
        let before = leaps();
        fs::write(&clock, leap).unwrap();
        eventually(|| leaps() > before).await;
        // The sweeps after it still distrust the clock.
        sleep(Duration::from_secs(3)).await;
    }

    let restored = client
        .patch(&deleted, &json!({"status": "available"}))
        .await;
    assert_eq!(restored.status, 200);
    let content = client.get(&format!("/files/{deleted}/content")).await;
    assert_eq!(content.body, bytes);
    assert_eq!(upload.offset().await, 500);
    assert_eq!(upload.append(500, rest.clone()).await.status, 204);
    server.finish().await;
}
