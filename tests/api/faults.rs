//! Faults of the database, the disk and the network.

use std::{path::Path, process::Command, time::Duration};

use harness::{
    Client, Kind, Server, TusUpload, digests, eventually, program, random, require, unique_text,
};
use reqwest::Method;
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::{
    begun::{Begun, a_claim, proof, send_all},
    linking::{share, unshare},
};

/// A small file system of its own, which goes when this is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(megabytes: u32) -> Self {
        require("root, to mount a disk");
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = program("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(
            mounted.unwrap().success(),
            "only root can mount the small disk of this test"
        );
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

/// Makes claims, and returns their URLs.
async fn claim_often(client: &Client) -> Vec<String> {
    let mut claims = Vec::new();
    for _ in 0..20 {
        let claim = client.request(Method::POST, "/claims").json(&a_claim());
        claims.push(client.send(claim).await.header("location").to_owned());
    }
    claims
}

/// Uses claims up, for one of which there is no room.
async fn prove_until_full(client: &Client, claims: &[String]) {
    let mut statuses = Vec::new();
    for claim in claims {
        let proof = client.request(Method::PUT, claim).json(&proof());
        statuses.push(client.send(proof).await.status.as_u16());
    }
    assert!(statuses.contains(&507), "{statuses:?}");
}

#[tokio::test]
async fn a_full_disk_is_told_to_who_moves_files() {
    let disk = SmallDisk::new(24);
    let data = disk.path().to_str().unwrap().to_owned();
    let database = format!("sqlite:{data}/fileserver.db");
    let settings = [
        ("FILESERVER_DATA_DIR", data.as_str()),
        ("FILESERVER_DATABASE_URL", database.as_str()),
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_NO_WORKER", "true"),
        ("FILESERVER_STORES_ARCHIVE_KIND", "disk"),
        ("FILESERVER_STORES_ARCHIVE_PATH", "archive"),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let everything = "files:read,files:write,metrics:read,admin";
    let client = server
        .client()
        .with_token(&server.token("root", everything));
    let (sha1, _) = client.upload_some("a.txt").await;
    let start = |from: &str, to: &str| {
        let wanted = serde_json::json!({"from": from, "to": to});
        client.request(Method::POST, "/transfers").json(&wanted)
    };
    let begun = client.send(start("disk", "archive")).await;
    let cancel = client.request(Method::DELETE, begun.header("location"));
    let mut fillers = Vec::new();
    for size in [1_000_000, 4096, 1] {
        let filler = || disk.path().join(format!("filler{}", fillers.len()));
        let mut next = filler();
        while std::fs::write(&next, vec![0; size]).is_ok() {
            fillers.push(next);
            next = disk.path().join(format!("filler{}", fillers.len()));
        }
        fillers.push(next);
    }
    // The database's log has some room of its own, which is soon used up.
    for name in 0.. {
        let patch = serde_json::json!({"file_name": format!("{name}")});
        if client.patch(&sha1, &patch).await.status == 507 {
            break;
        }
    }
    for request in [start("archive", "disk"), cancel.try_clone().unwrap()] {
        client.send(request).await.problem(507, "storage-full");
    }
    for filler in fillers {
        let _ = std::fs::remove_file(filler);
    }
    assert_eq!(client.send(cancel).await.status, 204);
    server.finish().await;
}

#[tokio::test]
async fn a_full_disk_can_be_emptied_by_its_users() {
    let disk = SmallDisk::new(40);
    let data = disk.path().to_str().unwrap().to_owned();
    let database = format!("sqlite:{data}/fileserver.db");
    let settings = [
        ("FILESERVER_DATA_DIR", data.as_str()),
        ("FILESERVER_DATABASE_URL", database.as_str()),
        ("FILESERVER_PURGE_GRACE", "0"),
        ("FILESERVER_DELETED_AGE", "0"),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let client = server.client();
    let mut files = Vec::new();
    for size in [1_000_000, 100_000, 4096] {
        loop {
            let answer = client.upload_raw("a.bin", random(size)).await;
            if answer.status == 507 {
                answer.problem(507, "storage-full");
                break;
            }
            files.push(answer.meta().file_sha1);
        }
    }
    let ready = client.get("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["status"]),
        (200, &"degraded".into())
    );
    // The log of the database takes some room for each change.
    for (number, sha1) in files.iter().enumerate() {
        let patch = serde_json::json!({"file_name": format!("{number}.bin")});
        assert_eq!(client.patch(sha1, &patch).await.status, 200);
    }
    for sha1 in &files {
        assert_eq!(client.delete(sha1).await.status, 204);
    }
    let folders = || std::fs::read_dir(disk.path().join("objects")).unwrap();
    let is_empty = |folder: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_dir(folder.unwrap().path()).unwrap().count() == 0
    };
    eventually(|| folders().all(is_empty)).await;
    let answer = client.upload_raw("b.bin", random(1_000_000)).await;
    assert_eq!(answer.status, 201);
    server.finish().await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() {
    // On SQLite the database lies on that disk, too.
    let disk = SmallDisk::new(24);
    let data = disk.path().to_str().unwrap().to_owned();
    let database = format!("sqlite:{data}/fileserver.db");
    let settings = [
        ("FILESERVER_DATA_DIR", data.as_str()),
        ("FILESERVER_DATABASE_URL", database.as_str()),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let client = server.client();
    let kept = random(1_000_000);
    let kept_meta = client.upload_raw("kept.bin", kept.clone()).await.meta();
    let sha1 = kept_meta.file_sha1.to_string();
    assert_eq!(client.send(share(client, &sha1)).await.status, 201);
    let begun = Begun::new(&server).await;
    begun.receive_the_rest(disk.path());
    let claims = claim_often(client).await;
    let room = disk.path().join("room for later");
    std::fs::write(&room, vec![0; 1_000_000]).unwrap();
    let too_much = client.upload_raw("big.bin", random(40_000_000)).await;
    too_much.problem(507, "storage-full");
    assert_eq!(client.list_all("").await.len(), 1);
    // Until there is no room for a row either.
    let mut refused = 0;
    for _ in 0..400 {
        let answer = client.upload_raw("small.bin", random(200_000)).await;
        match answer.status.as_u16() {
            201 => {}
            507 => refused += 1,
            other => panic!("{other}: {}", answer.text()),
        }
        if refused > 5 {
            break;
        }
    }
    let mut file = 0;
    while std::fs::write(disk.path().join(format!("filler{file}")), vec![0; 4096]).is_ok() {
        file += 1;
    }
    let _ = std::fs::remove_file(disk.path().join(format!("filler{file}")));
    client
        .upload_raw("small.bin", unique_text())
        .await
        .problem(507, "storage-full");
    let put = client.request(
        Method::PUT,
        &format!("/files/{}?file_name=a", digests(b"x").sha1),
    );
    client
        .send(put.body("x"))
        .await
        .problem(507, "storage-full");
    let ready = client.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["status"], "degraded");
    assert!(ready.text().contains("is full"), "{}", ready.text());
    // The database's log has some room of its own, which is soon used up.
    let mut name = 0;
    let full = loop {
        name += 1;
        let patch = serde_json::json!({"file_name": format!("{name}")});
        let answer = client.patch(&kept_meta.file_sha1, &patch).await;
        if answer.status != 200 {
            break answer;
        }
    };
    full.problem(507, "storage-full");
    for request in begun.requests(client) {
        let answer = client.send(request).await;
        // Deleted files need no space, and the use of a claim needs little.
        if !matches!(answer.status.as_u16(), 404 | 422) {
            answer.problem(507, "storage-full");
        }
    }
    prove_until_full(client, &claims).await;
    let completing = TusUpload::request_at(client, Method::HEAD, &begun.full);
    assert_eq!(client.send(completing).await.status, 507);
    client
        .delete(&kept_meta.file_sha1)
        .await
        .problem(507, "storage-full");
    for request in [unshare(client, &sha1), share(client, &sha1)] {
        client.send(request).await.problem(507, "storage-full");
    }

    assert_eq!(client.get(&kept_meta.location.to_string()).await.body, kept);
    std::fs::remove_file(room).unwrap();
    for filler in 0..file {
        std::fs::remove_file(disk.path().join(format!("filler{filler}"))).unwrap();
    }
    let answer = client.upload_raw("small.bin", unique_text()).await;
    assert_eq!(answer.status, 201, "there is room again: {}", answer.text());
    let completed = TusUpload::at(client, &begun.full).inspect().await;
    let is_there = completed.headers.contains_key("content-location");
    assert!(is_there, "{completed:?}");
    begun.end(client).await;
    server.stop().await;
    let check = server.command(&["check", "--digests"]);
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_is_told_and_loses_nothing() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let (server, proxy) = Server::start_behind_proxy(kind).await;
        let client = server.client();
        let (sha1, bytes) = client.upload_some("kept.txt").await;
        let begun = Begun::new(&server).await;
        let link = client.send(share(client, &sha1.to_string())).await.json()["url"].clone();
        let link = link.as_str().unwrap().to_owned();

        proxy.cut();
        let objects = server.objects();
        let put = format!("/files/{}?file_name=a", digests(b"x").sha1);
        for answer in [
            client.get(&format!("/files/{sha1}")).await,
            client.get(&format!("/files/{}", "0".repeat(40))).await,
            client.get(&format!("/files/{sha1}/content")).await,
            client.get("/files").await,
            client.get("/uploads").await,
            client.upload_raw("new.txt", unique_text()).await,
            client.upload_raw("again.txt", bytes.clone()).await,
            client
                .patch(&sha1, &serde_json::json!({"file_name": "b"}))
                .await,
            client.delete(&sha1).await,
            client.get("/readyz").await,
            client.get(&begun.http).await,
            client.get("/usage").await,
            client.get(&link).await,
            client.send(share(client, &sha1.to_string())).await,
            client.send(unshare(client, &sha1.to_string())).await,
            client
                .send(client.request(Method::PUT, &put).body("x"))
                .await,
        ]
        .into_iter()
        .chain(send_all(client, begun.requests(client)).await)
        {
            let detail = answer.problem(503, "unavailable");
            assert_eq!(detail, "the database is temporarily unavailable; try again");
            assert_eq!(answer.header("retry-after"), "2");
        }
        assert_eq!(
            server.objects(),
            objects,
            "what was not recorded is not kept"
        );
        assert_eq!(client.get("/healthz").await.status, 200);
        let numbers = client.get("/metrics").await.text();
        assert!(
            numbers.contains("fileserver_failures_total{component=\"database\"}"),
            "{numbers}"
        );

        let inspected = TusUpload::at(client, &begun.tus).inspect().await;
        assert_eq!(inspected.status, 503);
        assert_eq!(inspected.header("upload-offset"), "");

        proxy.mend();
        sleep(Duration::from_millis(1200)).await;
        let content = client.get(&format!("/files/{sha1}/content")).await;
        assert_eq!(content.body, bytes);
        begun.end(client).await;
        assert_eq!(
            client.upload_raw("new.txt", unique_text()).await.status,
            201
        );
        server.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_keeps_its_bytes() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let (server, proxy) = Server::start_behind_proxy(kind).await;
        let client = server.client();
        proxy.lose_answers_to_commits();
        let bytes = unique_text().into_bytes();
        let answer = client.upload_raw("a.txt", bytes.clone()).await;
        answer.problem(503, "unavailable");
        proxy.mend();
        // It was committed, and so it is there, with its bytes.
        let content = format!("/files/{}/content", digests(&bytes).sha1);
        assert_eq!(client.get(&content).await.body, bytes, "{kind:?}");
        server.check_is_clean();
        server.kill().await;
        server.restart().await;
        assert_eq!(client.get(&content).await.body, bytes, "{kind:?}");
        server.check_is_clean();
        server.stop().await;
    }
}

/// Nothing is read from another store, where the bytes are whole.
const ONLY_COPY: (&str, &str) = ("FILESERVER_TRANSFER_POLICY", "none");

#[tokio::test]
async fn lost_bytes_come_back_with_the_next_upload() {
    for kind in [Kind::Sqlite, Kind::MariaDb, Kind::Postgres] {
        // Before nginx sends them they are looked at every few seconds only.
        let server = Server::alone(kind, &[ONLY_COPY]).await;
        let client = server.client();
        let (sha1, bytes) = client.upload_some("a.txt").await;
        for damage in [None, Some("short")] {
            let object = server.objects().remove(0);
            server.damage(&object, damage);
            assert_eq!(client.upload("a.txt", bytes.clone()).await.status, 200);
            let content = client.get(&format!("/files/{sha1}/content")).await;
            assert_eq!(content.body, bytes);
            if damage.is_some() {
                server.damage(&object, None);
            }
        }
        server.finish().await;
    }
}

#[tokio::test]
async fn lost_bytes_are_a_defect_and_never_a_missing_file() {
    let server = Server::start(Kind::Sqlite, &[ONLY_COPY]).await;
    let client = server.client();
    let (sha1, _) = client.upload_some("a.txt").await;
    let object = server.objects().remove(0);
    server.damage(&object, Some("short"));
    let answer = client.get(&format!("/files/{sha1}/content")).await;
    let detail = answer.problem(500, "internal");
    assert!(
        !detail.contains(server.data().to_str().unwrap()),
        "{detail}"
    );
    server.damage(&object, None);
    client
        .get(&format!("/files/{sha1}/content"))
        .await
        .problem(500, "internal");
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_cut_leaves_nothing() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    for cut_after in [10, 400_000, 3_000_000] {
        let mut stream = server.connect().await;
        let head = "POST /files?file_name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&random(cut_after)).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        drop(stream);
    }
    eventually(|| server.staged().is_empty()).await;
    assert!(server.objects().is_empty());
    server.finish().await;
}

#[tokio::test]
async fn uploads_over_the_limit_are_refused_before_and_while_they_come() {
    let server = Server::start(Kind::Sqlite, &[("FILESERVER_MAX_UPLOAD_SIZE", "1000000")]).await;
    let client = server.client();
    assert_eq!(
        client.upload_raw("a.bin", random(1_000_000)).await.status,
        201
    );
    client
        .upload_raw("b.bin", random(1_000_001))
        .await
        .problem(413, "too-large");
    client
        .upload("b.bin", random(1_000_001))
        .await
        .problem(413, "too-large");
    let too_large = random(1_000_001);
    let path = format!("/files/{}?file_name=b.bin", digests(&too_large).sha1);
    let put = client.request(Method::PUT, &path).body(too_large);
    client.send(put).await.problem(413, "too-large");
    let pieces = (0..40).map(|_| Ok::<_, std::io::Error>(random(100_000)));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    client
        .upload_raw("c.bin", body)
        .await
        .problem(413, "too-large");
    assert_eq!(server.objects().len(), 1);
    server.finish().await;
}
