//! Limits of uploads: size, expiry, and who may read their status.

use std::time::Duration;

use harness::{Ceph, Kind, Server, TusUpload, eventually, pieces};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use crate::resuming::half_a_patch;

#[tokio::test]
async fn an_upload_of_which_nothing_is_heard_expires() {
    for kind in [Kind::Sqlite, Kind::MariaDb, Kind::Postgres] {
        let server = Server::start(kind, &[("FILESERVER_UPLOAD_AGE", "4")]).await;
        let client = server.client();
        let limit = client.send(client.request(Method::OPTIONS, "/files")).await;
        assert!(limit.header("upload-limit").ends_with("-size=0, max-age=4") || Ceph::is_primary());
        let left = TusUpload::begin(client, 1000, &[]).await;
        assert_eq!(left.append(0, vec![1; 500]).await.status, 204);
        let running = TusUpload::begin(client, 1000, &[]).await;
        // An upload that receives bytes is kept, however long that takes.
        let mut slow = half_a_patch(&server, &running, 0, 1000, &[2; 500], "").await;
        sleep(Duration::from_secs(5)).await;
        let gone = left.inspect().await;
        assert!(matches!(gone.status.as_u16(), 404 | 410));
        assert_eq!(gone.header("upload-offset"), "");
        // An upload that expired while the service was down is removed, too.
        let late = TusUpload::begin(client, 1000, &[]).await;
        assert_eq!(late.append(0, vec![3; 500]).await.status, 204);
        slow.write_all(&[2; 500]).await.unwrap();
        let mut told = vec![0; 12];
        slow.read_exact(&mut told).await.unwrap();
        assert_eq!(told, b"HTTP/1.1 204");
        server.kill().await;
        sleep(Duration::from_secs(5)).await;
        server.restart().await;
        eventually(|| server.staged().is_empty()).await;
        let rows = server.database().sql("SELECT COUNT(*) FROM tbl_upload");
        assert_eq!(rows.trim(), "0");
        server.finish().await;
    }
}

#[tokio::test]
async fn a_request_that_stalls_is_broken_off_and_what_came_is_kept() {
    let server = Server::start(Kind::Sqlite, &[("FILESERVER_BODY_IDLE_TIMEOUT", "1")]).await;
    let upload = TusUpload::begin(server.client(), 1000, &[]).await;
    let mut stalled = half_a_patch(&server, &upload, 0, 1000, &[1; 500], "").await;
    let mut told = Vec::new();
    let read = timeout(Duration::from_secs(5), stalled.read_to_end(&mut told)).await;
    read.expect("the connection is closed").unwrap();
    let told = String::from_utf8_lossy(&told);
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    assert!(told.contains("upload-offset: 500"), "{told}");
    assert_eq!(upload.offset().await, 500);
    // A request to a complete upload does not wait for its bytes for ever either.
    assert_eq!(upload.append(500, vec![1; 500]).await.status, 204);
    let mut after = half_a_patch(&server, &upload, 1000, 5, b"", "").await;
    let read = timeout(Duration::from_secs(5), after.read_to_end(&mut Vec::new())).await;
    read.expect("the connection is closed").unwrap();
    server.finish().await;
}

#[tokio::test]
async fn a_limit_is_told_and_held() {
    let server = Server::start(Kind::Sqlite, &[("FILESERVER_MAX_UPLOAD_SIZE", "1000")]).await;
    let client = server.client();
    let offer = client.send(client.request(Method::OPTIONS, "/tus")).await;
    assert_eq!(offer.header("tus-max-size"), "1000");
    let post = || TusUpload::request_at(client, Method::POST, "/tus");
    let too_long = client.send(post().header("upload-length", 1001)).await;
    too_long.problem(413, "too-large");
    let deferred = client.send(post().header("upload-defer-length", 1)).await;
    let upload = TusUpload::at(client, deferred.header("location"));
    upload
        .append(0, vec![0; 1001])
        .await
        .problem(413, "too-large");
    let overrun = upload.append(0, pieces([vec![0; 600], vec![0; 600]])).await;
    overrun.problem(413, "too-large");
    assert_eq!(overrun.header("upload-offset"), "1000");
    assert_eq!(upload.remove().await.status, 204);

    let mut parts = Vec::new();
    for _ in 0..2 {
        let request = post()
            .header("upload-concat", "partial")
            .header("upload-length", 600)
            .header("content-type", "application/offset+octet-stream");
        let part = client.send(request.body(vec![0; 600])).await;
        parts.push(part.header("location").to_owned());
    }
    let concat = format!("final;{}", parts.join(" "));
    let both = client.send(post().header("upload-concat", concat)).await;
    both.problem(413, "too-large");
    for part in parts {
        assert_eq!(TusUpload::at(client, &part).remove().await.status, 204);
    }

    let limit = client.send(client.request(Method::OPTIONS, "/files")).await;
    assert_eq!(limit.header("upload-limit"), "max-size=1000, max-age=86400");
    let files = |complete: &str| {
        let request = client.request(Method::POST, "/files?file_name=a");
        request.header("upload-complete", complete)
    };
    let announced = files("?0").header("upload-length", 1001);
    for request in [announced, files("?1").body(vec![0; 1001])] {
        let refused = client.send(request).await;
        refused.problem(413, "too-large");
        assert_eq!(
            refused.header("upload-limit"),
            "max-size=1000, max-age=86400"
        );
    }
    let created = client.send(files("?0")).await;
    let url = created.header("location").to_owned();
    let append = client.request(Method::PATCH, &url);
    let append = append
        .header("upload-offset", 0)
        .header("upload-complete", "?1")
        .header("content-type", "application/partial-upload");
    let refused = client.send(append.body(vec![0; 1001])).await;
    refused.problem(413, "too-large");
    assert_eq!(
        refused.header("upload-limit"),
        "max-size=1000, max-age=86400"
    );
    assert_eq!(
        client
            .send(client.request(Method::DELETE, &url))
            .await
            .status,
        204
    );
    server.finish().await;
}

#[tokio::test]
async fn a_page_of_another_origin_reads_every_field() {
    let origins = ("FILESERVER_CORS_ORIGINS", "http://elsewhere");
    let server = Server::start(Kind::Sqlite, &[origins]).await;
    let client = server.client();
    let upload = TusUpload::begin(client, 5, &[("filename", "a.txt")]).await;
    let asked = upload
        .appending(0)
        .header("origin", "http://elsewhere")
        .body("hello");
    let answer = client.send(asked).await;
    let exposed = answer.header("access-control-expose-headers").to_owned();
    let exposed = exposed.to_lowercase();
    let exposed: Vec<&str> = exposed.split(", ").collect();
    for field in answer.headers.keys() {
        let field = field.as_str();
        let is_of_http = ["connection", "date", "server", "vary"].contains(&field)
            || field.starts_with("access-control");
        assert!(
            is_of_http || exposed.contains(&field),
            "{field}: {exposed:?}"
        );
    }
    for field in [
        "upload-offset",
        "upload-length",
        "upload-expires",
        "upload-metadata",
        "upload-defer-length",
        "upload-concat",
        "upload-complete",
        "upload-limit",
        "tus-resumable",
        "tus-version",
        "tus-extension",
        "tus-max-size",
        "tus-checksum-algorithm",
        "content-location",
        "location",
        "retry-after",
        "x-request-id",
    ] {
        assert!(exposed.contains(&field), "{field}: {exposed:?}");
    }
    let preflight = client
        .request(Method::OPTIONS, &upload.url)
        .header("origin", "http://elsewhere")
        .header("access-control-request-method", "PATCH")
        .header(
            "access-control-request-headers",
            "tus-resumable,upload-offset",
        );
    let allowed = preflight.send().await.unwrap();
    assert!(allowed.status().is_success());
    let methods = &allowed.headers()["access-control-allow-methods"];
    assert!(methods.to_str().unwrap().contains("PATCH"));
    server.finish().await;
}

#[tokio::test]
async fn a_url_may_end_in_a_slash_or_be_escaped() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    for (line, version, answer) in [
        (
            "POST /tus/ HTTP/1.1",
            "Tus-Resumable: 1.0.0",
            "HTTP/1.1 201",
        ),
        (
            "POST /%74us HTTP/1.1",
            "Tus-Resumable: 1.0.0",
            "HTTP/1.1 201",
        ),
        ("POST /%74us HTTP/1.1", "X-Nothing: 1", "HTTP/1.1 412"),
        (
            "POST /tus/?a=1 HTTP/1.1",
            "Tus-Resumable: 1.0.0",
            "HTTP/1.1 400",
        ),
    ] {
        let request = format!(
            "{line}\r\nHost: localhost\r\n{version}\r\nUpload-Length: 5\r\nConnection: close\r\n\r\n"
        );
        let said = server.raw(request.as_bytes()).await;
        assert!(said.starts_with(answer), "{line}: {said}");
        let is_spoken = said.to_lowercase().contains("tus-resumable: 1.0.0");
        assert!(is_spoken, "{line}: {said}");
    }
    server.finish().await;
}
