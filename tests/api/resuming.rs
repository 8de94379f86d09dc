//! Uploads that break off and go on.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{StreamExt as _, stream};
use harness::{
    Client, Server, TusUpload, digests, eventually, on_every_database, random, unique_text,
};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

on_every_database! {
    what_arrived_before_a_break_is_kept,
    what_was_to_be_verified_is_kept_whole_or_not_at_all,
    the_newest_request_wins,
    an_offset_that_was_told_is_accepted,
    an_offset_of_the_draft_that_was_told_is_accepted,
    the_newest_request_wins_in_another_process_too,
    a_request_that_keeps_sending_hears_of_another_process,
    a_part_that_is_not_what_it_was_said_to_be_is_refused_at_once,
    two_clients_that_race_make_one_whole_file,
    a_known_content_is_not_stored_again,
    a_thousand_uploads_go_on_at_once,
    a_thousand_parts_become_one_file,
    an_upload_broken_twenty_times_comes_whole,
}

/// The content of a file, if there is one.
pub(crate) async fn content(client: &Client, bytes: &[u8]) -> Option<Vec<u8>> {
    let path = format!("/files/{}/content", digests(bytes).sha1);
    let answer = client.get(&path).await;
    (answer.status == 200).then(|| answer.body.to_vec())
}

/// Begins to append `announced` bytes over a connection of its own, and sends some of them.
pub(crate) async fn half_a_patch(
    server: &Server,
    upload: &TusUpload,
    offset: usize,
    announced: usize,
    bytes: &[u8],
    fields: &str,
) -> TcpStream {
    let mut stream = server.connect().await;
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {announced}\r\n{fields}\r\n",
        upload.url,
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Appends bytes, and does not say that there are no more.
async fn half_a_chunked_patch(server: &Server, upload: &TusUpload, bytes: &[u8]) -> TcpStream {
    let mut stream = server.connect().await;
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        upload.url,
        bytes.len(),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[bytes, b"\r\n"].concat()).await.unwrap();
    stream
}

async fn reaches(upload: &TusUpload, offset: usize) {
    for _ in 0..200 {
        if upload.offset().await == offset {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("{} bytes instead of {offset}", upload.offset().await);
}

async fn what_arrived_before_a_break_is_kept(server: &Server) {
    let client = server.client();
    let bytes = random(3_000_000);
    let upload = TusUpload::begin(client, bytes.len(), &[("filename", "a.bin")]).await;
    let mut offset = 0;
    for next in [1, 700_000, 2_900_000] {
        let announced = bytes.len() - offset;
        let piece = &bytes[offset..next];
        drop(half_a_patch(server, &upload, offset, announced, piece, "").await);
        // Another process that is asked at once takes a bucket's upload over before the first one has
        // stored what arrived.
        sleep(Duration::from_secs(1)).await;
        reaches(&upload, next).await;
        offset = next;
    }
    let answer = upload.append(offset, bytes[offset..].to_vec()).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(content(client, &bytes).await.unwrap(), bytes);
    assert!(server.staged().is_empty());
}

async fn what_was_to_be_verified_is_kept_whole_or_not_at_all(server: &Server) {
    let client = server.client();
    let bytes = random(2_000_000);
    let upload = TusUpload::begin(client, bytes.len(), &[]).await;
    assert_eq!(upload.append(0, bytes[..10].to_vec()).await.status, 204);
    let fields = "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n";
    let announced = bytes.len() - 10;
    let piece = &bytes[10..1_900_000];
    let stream = half_a_patch(server, &upload, 10, announced, piece, fields).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(
        upload.offset().await,
        10,
        "what is not verified does not count"
    );
    drop(stream);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(upload.offset().await, 10);
    // Nor does it after a crash.
    let _stream = half_a_patch(server, &upload, 10, announced, piece, fields).await;
    sleep(Duration::from_millis(300)).await;
    server.kill().await;
    server.restart().await;
    assert_eq!(upload.offset().await, 10);
    let answer = upload.append(10, bytes[10..].to_vec()).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(content(client, &bytes).await.unwrap(), bytes);
}

async fn the_newest_request_wins(server: &Server) {
    let client = server.client();
    let bytes = random(2_000_000);
    let upload = TusUpload::begin(client, bytes.len(), &[]).await;
    // A client that keeps its connection open, and sends nothing more.
    let mut older = half_a_patch(server, &upload, 0, bytes.len(), &bytes[..1_000_000], "").await;
    eventually(|| !server.staged().is_empty()).await;
    let newer = upload.append(0, bytes.clone());
    let mut newer = timeout(Duration::from_secs(5), newer).await.unwrap();
    if newer.status == 409 {
        // The bytes that the older request received are kept.
        let offset: usize = newer.header("upload-offset").parse().unwrap();
        assert!(offset > 0 && offset <= 1_000_000);
        newer = upload.append(offset, bytes[offset..].to_vec()).await;
    }
    assert_eq!(newer.status, 204, "{}", newer.text());
    assert_eq!(content(client, &bytes).await.unwrap(), bytes);
    is_superseded(&mut older).await;
}

/// The connection of an older request is answered and closed.
async fn is_superseded(older: &mut TcpStream) {
    let mut told = Vec::new();
    let read = timeout(Duration::from_secs(5), older.read_to_end(&mut told)).await;
    read.expect("the older connection is closed").unwrap();
    let told = String::from_utf8_lossy(&told);
    assert!(told.starts_with("HTTP/1.1 409"), "{told}");
    assert!(told.contains("urn:fileserver:problem:superseded"), "{told}");
}

async fn an_offset_that_was_told_is_accepted(server: &Server) {
    let (mut process, second) = server.second_process().await;
    for asked in [server.client(), &second] {
        for part in [300_000, 1_000_000, 1_700_000] {
            let bytes = random(2_000_000);
            let upload = TusUpload::begin(server.client(), bytes.len(), &[]).await;
            let some = &bytes[..part];
            let mut older = half_a_patch(server, &upload, 0, bytes.len(), some, "").await;
            sleep(Duration::from_millis(300)).await;
            let read = TusUpload::at(asked, &upload.url);
            let read = timeout(Duration::from_secs(5), read.inspect()).await;
            let offset: usize = read.unwrap().header("upload-offset").parse().unwrap();
            assert!(offset <= part);
            let newer = upload.append(offset, bytes[offset..].to_vec()).await;
            assert_eq!(newer.status, 204, "{}", newer.text());
            is_superseded(&mut older).await;
            assert!(content(server.client(), &bytes).await.unwrap() == bytes);
        }
    }
    process.kill().await.unwrap();
}

async fn an_offset_of_the_draft_that_was_told_is_accepted(server: &Server) {
    let (mut process, second) = server.second_process().await;
    let client = server.client();
    for (asked, method) in [
        (client, Method::HEAD),
        (client, Method::GET),
        (&second, Method::HEAD),
    ] {
        let bytes = random(1_000_000);
        let begun = client.request(Method::POST, "/files?file_name=a.bin");
        let begun = client.send(begun.header("upload-complete", "?0")).await;
        assert_eq!(begun.status, 201, "{}", begun.text());
        let url = begun.header("location").to_owned();
        let mut older = server.connect().await;
        let head = format!(
            "PATCH {url} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\nUpload-Complete: ?1\r\n\
             Content-Type: application/partial-upload\r\nContent-Length: {}\r\n\r\n",
            bytes.len(),
        );
        older.write_all(head.as_bytes()).await.unwrap();
        older.write_all(&bytes[..300_000]).await.unwrap();
        sleep(Duration::from_millis(300)).await;
        let read = timeout(
            Duration::from_secs(5),
            asked.send(asked.request(method, &url)),
        )
        .await;
        let offset: usize = read.unwrap().header("upload-offset").parse().unwrap();
        let rest = client.request(Method::PATCH, &url);
        let rest = rest
            .header("upload-offset", offset)
            .header("upload-complete", "?1")
            .header("content-type", "application/partial-upload")
            .body(bytes[offset..].to_vec());
        let newer = client.send(rest).await;
        assert_eq!(newer.status, 201, "{}", newer.text());
        is_superseded(&mut older).await;
        assert!(content(client, &bytes).await.unwrap() == bytes);
    }
    process.kill().await.unwrap();
}

async fn the_newest_request_wins_in_another_process_too(server: &Server) {
    let bytes = random(1_500_000);
    let upload = TusUpload::begin(server.client(), bytes.len(), &[]).await;
    let mut older = half_a_patch(server, &upload, 0, bytes.len(), &bytes[..1_000_000], "").await;
    eventually(|| !server.staged().is_empty()).await;
    let (mut process, client) = server.second_process().await;
    let upload = TusUpload::at(&client, &upload.url);
    let mut newer = upload.append(0, bytes.clone()).await;
    if newer.status == 409 {
        let offset: usize = newer.header("upload-offset").parse().unwrap();
        newer = upload.append(offset, bytes[offset..].to_vec()).await;
    }
    assert_eq!(newer.status, 204, "{}", newer.text());
    let mut told = vec![0; 12];
    older.read_exact(&mut told).await.unwrap();
    assert_eq!(told, b"HTTP/1.1 409");
    assert_eq!(content(&client, &bytes).await.unwrap(), bytes);
    process.kill().await.unwrap();
}

async fn a_request_that_keeps_sending_hears_of_another_process(server: &Server) {
    let upload = TusUpload::begin(server.client(), 1_000_000, &[]).await;
    let mut older = half_a_patch(server, &upload, 0, 1_000_000, &[1; 1000], "").await;
    let sending = tokio::spawn(async move {
        // More often than it is looked who waits, until the connection is closed.
        while older.write_all(&[1; 1000]).await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    eventually(|| !server.staged().is_empty()).await;
    let (mut process, client) = server.second_process().await;
    let same = TusUpload::at(&client, &upload.url);
    let removed = timeout(Duration::from_secs(4), same.remove());
    assert_eq!(removed.await.expect("it is heard").status, 204);
    sending.await.unwrap();
    process.kill().await.unwrap();
    assert!(server.staged().is_empty());
}

async fn a_part_that_is_not_what_it_was_said_to_be_is_refused_at_once(server: &Server) {
    let client = server.client();
    let sha1 = BASE64_STANDARD.encode(digests(b"other").sha1.to_string());
    let part = |bytes: &'static str| {
        TusUpload::request_at(client, Method::POST, "/tus")
            .header("upload-concat", "partial")
            .header("upload-length", 5)
            .header("upload-metadata", format!("sha1 {sha1}"))
            .header("content-type", "application/offset+octet-stream")
            .body(bytes)
    };
    let refused = timeout(Duration::from_secs(3), client.send(part("wrong"))).await;
    refused.unwrap().problem(422, "digest-mismatch");
    assert!(server.staged().is_empty());
    // Nor is it taken when the request that brought its last byte broke off.
    let begun = client.send(part("")).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let upload = TusUpload::at(client, begun.header("location"));
    drop(half_a_chunked_patch(server, &upload, b"wrong").await);
    reaches(&upload, 5).await;
    let concat = format!("final;{}", upload.url);
    let last = TusUpload::request_at(client, Method::POST, "/tus").header("upload-concat", concat);
    client.send(last).await.problem(422, "digest-mismatch");
    assert_eq!(upload.remove().await.status, 204);
}

async fn two_clients_that_race_make_one_whole_file(server: &Server) {
    let client = server.client();
    let bytes = random(4_000_000);
    let upload = TusUpload::begin(client, bytes.len(), &[]).await;
    let race = async || {
        for _ in 0..1000 {
            let offset = upload.offset().await;
            if offset == bytes.len() {
                return;
            }
            let end = bytes.len().min(offset + 150_000);
            let answer = upload.append(offset, bytes[offset..end].to_vec()).await;
            assert!(
                matches!(answer.status.as_u16(), 204 | 409),
                "{}",
                answer.text()
            );
        }
        panic!("nobody wins");
    };
    futures_util::future::join(race(), race()).await;
    assert_eq!(content(client, &bytes).await.unwrap(), bytes);
    assert_eq!(server.objects().len(), 1);
}

async fn a_known_content_is_not_stored_again(server: &Server) {
    let client = server.client();
    let bytes = random(1_500_000);
    assert_eq!(client.upload("first.bin", bytes.clone()).await.status, 201);
    let objects = server.objects();
    let upload = TusUpload::begin(client, bytes.len(), &[("filename", "second.bin")]).await;
    let answer = upload.append(0, bytes.clone()).await;
    assert_eq!(answer.status, 204);
    let file = answer.header("content-location").to_owned();
    assert_eq!(
        client.get(&file).await.meta().file_name.as_str(),
        "first.bin"
    );
    assert_eq!(server.objects(), objects);
    assert!(server.staged().is_empty());
}

/// Appends bytes, and does so again as long as the database has too much to do.
async fn append_again(upload: &TusUpload, offset: usize, bytes: &[u8]) {
    let mut from = 0;
    for _ in 0..20 {
        let answer = upload.append(offset + from, bytes[from..].to_vec()).await;
        if answer.status == 204 {
            return;
        }
        answer.problem(503, "unavailable");
        from = upload.offset().await - offset;
        if from == bytes.len() {
            return;
        }
    }
    panic!("an upload does not go on");
}

async fn a_thousand_uploads_go_on_at_once(server: &Server) {
    let client = server.client();
    let uploads = stream::iter(0..1000).map(|number: usize| {
        let client = client.clone();
        async move {
            let text = format!("{number} {}", unique_text()).repeat(20);
            let bytes = text.into_bytes();
            (TusUpload::begin(&client, bytes.len(), &[]).await, bytes)
        }
    });
    let uploads: Vec<_> = uploads.buffer_unordered(16).collect().await;
    // All of them are open before the first one ends.
    for third in 1..=3 {
        let appended = stream::iter(&uploads).map(async |(upload, bytes)| {
            let (from, to) = (bytes.len() * (third - 1) / 3, bytes.len() * third / 3);
            append_again(upload, from, &bytes[from..to]).await;
        });
        appended.buffer_unordered(16).collect::<Vec<()>>().await;
    }
    assert!(server.staged().is_empty());
    assert_eq!(server.objects().len(), 1000);
    let listed = client.list_all("limit=1000").await;
    for (_, bytes) in &uploads {
        let sha1 = digests(bytes).sha1;
        assert!(listed.iter().any(|meta| meta.file_sha1 == sha1));
    }
}

async fn a_thousand_parts_become_one_file(server: &Server) {
    let client = server.client();
    let whole = unique_text().repeat(1000).into_bytes();
    let pieces: Vec<&[u8]> = whole.chunks(whole.len().div_ceil(1000)).collect();
    let parts = stream::iter(&pieces).map(async |piece| {
        let request = TusUpload::request_at(client, Method::POST, "/tus")
            .header("upload-concat", "partial")
            .header("upload-length", piece.len())
            .header("content-type", "application/offset+octet-stream")
            .body(piece.to_vec());
        let answer = client.send(request).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.header("location").to_owned()
    });
    let parts: Vec<String> = parts.buffered(20).collect().await;
    assert_eq!(parts.len(), 1000);
    let request = TusUpload::request_at(client, Method::POST, "/tus");
    let concat = format!("final;{}", parts.join(" "));
    let answer = client.send(request.header("upload-concat", concat)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(content(client, &whole).await.unwrap(), whole);
    eventually(|| server.staged().is_empty()).await;
}

/// Breaks one upload twenty times, by the client and by killing the service.
async fn an_upload_broken_twenty_times_comes_whole(server: &Server) {
    let client = server.client();
    let bytes = random(24_000_000);
    let sha1 = digests(&bytes).sha1.to_string();
    let upload = TusUpload::begin(client, bytes.len(), &[("sha1", &sha1)]).await;
    let mut most = 0;
    for number in 1..=20_u64 {
        let offset = upload.offset().await;
        let random = usize::try_from(getrandom::u64().unwrap() % 1_100_000).unwrap();
        let to = (offset + random).min(bytes.len() - 1);
        let left = bytes.len() - offset;
        let stream = half_a_patch(server, &upload, offset, left, &bytes[offset..to], "").await;
        if number.is_multiple_of(2) {
            sleep(Duration::from_millis(number * 7)).await;
            server.kill().await;
            server.restart().await;
            server.check_is_clean();
        }
        drop(stream);
        let kept = upload.offset().await;
        // The connection before may still be at it.
        most = most.max(to);
        assert!((offset..=most).contains(&kept), "{offset} {kept} {most}");
    }
    loop {
        let offset = upload.offset().await;
        let rest = upload.appending(offset).body(bytes[offset..].to_vec());
        // The last connection may still be at it, which is told before all of this has been sent.
        match client.try_send(rest).await {
            Ok(answer) if answer.status == 204 => break,
            Ok(answer) => assert_eq!(answer.status, 409),
            Err(broken) => assert!(broken.is_request(), "{broken}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(content(client, &bytes).await.unwrap(), bytes);
}
