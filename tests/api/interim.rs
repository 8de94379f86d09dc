//! Interim responses: 100 (Continue), and 104 (Upload Resumption Supported).

use std::time::Duration;

use harness::{Kind, Server, random};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Reads the head of a response.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&head)),
            }
        }
    };
    timeout(Duration::from_secs(20), read)
        .await
        .expect("it answers");
    String::from_utf8(head).unwrap()
}

fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no {name}: {head}")).1
}

#[tokio::test]
async fn a_body_is_asked_for_only_if_it_is_wanted() {
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_MAX_UPLOAD_SIZE", "1000"),
    ];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    let token = server.token("alice", "files:read,files:write");
    let reader = server.token("alice", "files:read");
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let expect = "Host: localhost\r\nExpect: 100-continue\r\n";
    let meta = server.client_of("alice").upload_raw("a.txt", "hello").await;
    let file = format!("/files/{}", meta.meta().file_sha1);
    for (target, fields, status) in [
        (
            "POST /files?file_name=a",
            "Content-Length: 5\r\n".to_owned(),
            401,
        ),
        (
            "POST /files?file_name=a",
            format!("Authorization: Bearer {reader}\r\nContent-Length: 5\r\n"),
            403,
        ),
        (
            "POST /nowhere",
            format!("{bearer}Content-Length: 5\r\n"),
            404,
        ),
        ("PUT /files", format!("{bearer}Content-Length: 5\r\n"), 405),
        (
            "POST /tus",
            format!("{bearer}Content-Length: 5\r\nUpload-Length: 5\r\n"),
            412,
        ),
        (
            "POST /files?file_name=a",
            format!("{bearer}Content-Length: 5000\r\n"),
            413,
        ),
        (
            "POST /files?file_name=a",
            format!("{bearer}Content-Length: 5\r\nContent-Type: multipart/mixed; boundary=a\r\n"),
            415,
        ),
        (
            &format!("PATCH {file}"),
            format!("{bearer}Content-Length: 5\r\nContent-Type: text/plain\r\n"),
            415,
        ),
    ] {
        let mut stream = server.connect().await;
        let request = format!("{target} HTTP/1.1\r\n{expect}{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = head(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{target} {fields}: {answer}"
        );
    }
    // Two of them, on one connection.
    let mut stream = server.connect().await;
    for name in ["b", "c"] {
        let request = format!(
            "POST /files?file_name={name} HTTP/1.1\r\n{expect}{bearer}Content-Length: 5\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(head(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
        stream
            .write_all(format!("hell{name}").as_bytes())
            .await
            .unwrap();
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
        let length = field(&answer, "content-length").parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
    }
    // A client of HTTP/1.0 does not know it.
    let request = format!(
        "POST /files?file_name=d HTTP/1.0\r\n{expect}{bearer}Content-Length: 5\r\n\r\nhelld"
    );
    let answer = server.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.0 201 "), "{answer}");
    server.finish().await;
}

#[tokio::test]
async fn a_large_upload_that_waits_to_be_asked_arrives() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let bytes = random(5_000_000);
    let mut stream = server.connect().await;
    let request = format!(
        "POST /files?file_name=a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(head(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&bytes).await.unwrap();
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    server.finish().await;
}

/// The request of an upload by the draft, without its bytes.
fn upload(complete: &str, fields: &str) -> String {
    format!(
        "POST /files?file_name=a.bin HTTP/1.1\r\nHost: localhost\r\nUpload-Complete: {complete}\r\n\
         Content-Length: 1000\r\n{fields}\r\n"
    )
}

#[tokio::test]
async fn an_upload_that_breaks_off_before_its_answer_can_be_continued() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    for complete in ["?1", "?0"] {
        let bytes = random(1000);
        let mut stream = server.connect().await;
        let request = upload(complete, "Upload-Draft-Interop-Version: 8\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let told = head(&mut stream).await;
        assert!(
            told.starts_with("HTTP/1.1 104 Upload Resumption Supported\r\n"),
            "{told}"
        );
        assert_eq!(field(&told, "upload-draft-interop-version"), "8");
        let url = field(&told, "location").to_owned();
        stream.write_all(&bytes[..600]).await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        // However much has arrived by then: the offset in the response is accepted.
        let status = client.send(client.request(Method::HEAD, &url)).await;
        assert_eq!(status.status, 204);
        let offset: usize = status.header("upload-offset").parse().unwrap();
        assert!(offset <= 600);
        let rest = client
            .request(Method::PATCH, &url)
            .header("upload-offset", offset)
            .header("upload-complete", "?1")
            .header("content-type", "application/partial-upload")
            .body(bytes[offset..].to_vec());
        let stored = client.send(rest).await;
        assert_eq!(stored.status, 201, "{}", stored.text());
        assert_eq!(stored.header("upload-complete"), "?1");
        let sha1 = stored.meta().file_sha1;
        let content = client.get(&format!("/files/{sha1}/content")).await;
        assert!(content.body == bytes);
    }
    // One that does not break off gets its ordinary answer.
    let mut stream = server.connect().await;
    let request = upload("?1", "Upload-Draft-Interop-Version: 8\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(&random(1000)).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 104 "));
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(field(&answer, "upload-complete"), "?1");
    server.finish().await;
}

#[tokio::test]
async fn an_upload_is_announced_only_to_clients_that_understand_it() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    for fields in [
        "",
        "Upload-Draft-Interop-Version: 6\r\n",
        "Upload-Draft-Interop-Version: 8\r\nX-Forwarded-For: 192.0.2.1\r\n",
        "Upload-Draft-Interop-Version: 8\r\nVia: 1.1 proxy\r\n",
    ] {
        let mut stream = server.connect().await;
        stream
            .write_all(upload("?1", fields).as_bytes())
            .await
            .unwrap();
        stream.write_all(&random(1000)).await.unwrap();
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{fields}: {answer}");
    }
    // The content is refused: nothing can be continued.
    let mut stream = server.connect().await;
    let wrong =
        "Upload-Draft-Interop-Version: 8\r\nRepr-Digest: sha=:AAAAAAAAAAAAAAAAAAAAAAAAAAA=:\r\n";
    stream
        .write_all(upload("?1", wrong).as_bytes())
        .await
        .unwrap();
    stream.write_all(&random(1000)).await.unwrap();
    let told = head(&mut stream).await;
    assert!(told.starts_with("HTTP/1.1 104 "), "{told}");
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 422 "), "{answer}");
    assert_eq!(field(&answer, "upload-complete"), "?1");
    let client = server.client();
    let gone = client
        .send(client.request(Method::HEAD, field(&told, "location")))
        .await;
    assert!(matches!(gone.status.as_u16(), 404 | 410));
    server.finish().await;
}
