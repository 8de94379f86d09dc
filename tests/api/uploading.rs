//! Uploads, in every form.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{future::join_all, stream};
use harness::{Server, digests, on_every_database, random, unique_text};
use reqwest::{
    Method,
    multipart::{Form, Part},
};

on_every_database! {
    a_form_is_stored_and_described,
    a_whole_body_is_named_by_query_or_header,
    a_put_is_stored_if_it_has_the_sha1,
    a_file_of_any_size_comes_back_as_it_was,
    a_body_of_unknown_length_is_stored,
    the_same_content_is_one_copy,
    a_deleted_file_is_restored_by_uploading_it,
    digests_that_are_announced_are_verified,
    uploads_of_the_same_content_at_once_are_one_copy,
    contents_that_share_their_sha1_are_told_apart,
    files_reach_every_shard_and_are_paged_across_them,
}

async fn a_form_is_stored_and_described(server: &Server) {
    let client = server.client();
    let (name, bytes) = ("数据 \"1\".txt", unique_text().into_bytes());
    let content = digests(&bytes);
    let part = Part::bytes(bytes.clone())
        .file_name(name)
        .mime_str("text/plain; charset=utf-8")
        .unwrap();
    let request = client.request(Method::POST, "/files");
    let answer = client
        .send(request.multipart(Form::new().part("file", part)))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(
        answer.header("location"),
        format!("/files/{}", content.sha1)
    );
    let meta = answer.meta();
    assert_eq!(meta.file_sha1, content.sha1);
    assert_eq!(meta.file_sha256, content.sha256);
    assert_eq!(meta.file_size, content.size);
    assert_eq!(meta.file_name.as_str(), name);
    assert_eq!(meta.content_type.as_str(), "text/plain; charset=utf-8");
    assert_eq!(meta.upload_at, meta.update_at);

    let found = client.get(answer.header("location")).await;
    assert_eq!(found.meta(), meta);
    assert_eq!(found.header("etag"), answer.header("etag"));
    let content = client.get(&meta.location.to_string()).await;
    assert_eq!(content.body, bytes);

    // A part `file_name` names the file whatever its part is called.
    let part = Part::bytes(unique_text().into_bytes()).file_name("a.txt");
    let form = Form::new().part("file", part).text("file_name", "b.txt");
    let answer = client
        .send(client.request(Method::POST, "/files").multipart(form))
        .await;
    assert_eq!(answer.meta().file_name.as_str(), "b.txt");
    assert_eq!(
        answer.meta().content_type.as_str(),
        "application/octet-stream"
    );
    // A field that was left empty, as browsers send it, names nothing.
    let part = Part::bytes(unique_text().into_bytes()).file_name("a.txt");
    let form = Form::new().part("file", part).text("file_name", "");
    let answer = client
        .send(client.request(Method::POST, "/files").multipart(form))
        .await;
    assert_eq!(answer.meta().file_name.as_str(), "a.txt");
}

async fn a_whole_body_is_named_by_query_or_header(server: &Server) {
    let client = server.client();
    let answer = client.upload_raw("a b&c.txt", unique_text()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.meta().file_name.as_str(), "a b&c.txt");

    let request = client
        .request(Method::POST, "/files")
        .header(
            "content-disposition",
            "attachment; filename=\"x\"; filename*=UTF-8''%E2%82%AC.txt",
        )
        .header("content-type", "text/csv")
        .body(unique_text());
    let meta = client.send(request).await.meta();
    assert_eq!(meta.file_name.as_str(), "€.txt");
    assert_eq!(meta.content_type.as_str(), "text/csv");
}

async fn a_put_is_stored_if_it_has_the_sha1(server: &Server) {
    let client = server.client();
    let bytes = unique_text();
    let sha1 = digests(bytes.as_bytes()).sha1;
    let put = |sha1: &str, bytes: &str| {
        let path = format!("/files/{sha1}?file_name=a.txt");
        client.request(Method::PUT, &path).body(bytes.to_owned())
    };
    let refused = client.send(put(&sha1.to_string(), "something else")).await;
    assert!(
        refused
            .problem(422, "digest-mismatch")
            .contains(&sha1.to_string())
    );
    assert_eq!(client.get(&format!("/files/{sha1}")).await.status, 404);

    let upper_case = sha1.to_string().to_uppercase();
    let stored = client.send(put(&upper_case, &bytes)).await;
    assert_eq!(stored.status, 201, "{}", stored.text());
    assert_eq!(stored.header("location"), format!("/files/{sha1}"));
    assert_eq!(client.send(put(&upper_case, &bytes)).await.status, 200);
    let form = client
        .request(Method::PUT, &format!("/files/{sha1}"))
        .multipart(Form::new().part("file", Part::bytes(bytes.into_bytes())));
    client
        .send(form)
        .await
        .problem(415, "unsupported-media-type");
}

async fn a_file_of_any_size_comes_back_as_it_was(server: &Server) {
    let client = server.client();
    let batch = 512 * 1024;
    for size in [
        0,
        1,
        4095,
        batch - 1,
        batch,
        batch + 1,
        2 * batch,
        5 * batch + 17,
    ] {
        let bytes = random(size);
        for again in [false, true] {
            let answer = if again {
                client.upload_raw("a.bin", bytes.clone()).await
            } else {
                client.upload("a.bin", bytes.clone()).await
            };
            assert_eq!(
                answer.status,
                if again { 200 } else { 201 },
                "{}",
                answer.text()
            );
            assert_eq!(answer.meta().file_sha1, digests(&bytes).sha1, "{size}");
            let path = answer.meta().location.to_string();
            let content = client.get(&path).await;
            assert!(content.body == bytes, "{size}");
            assert_eq!(content.header("content-length"), size.to_string());
        }
    }
}

async fn a_body_of_unknown_length_is_stored(server: &Server) {
    let client = server.client();
    let pieces: Vec<Vec<u8>> = (0..40).map(|_| random(31_337)).collect();
    let whole = pieces.concat();
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let answer = client
        .upload_raw("a.bin", reqwest::Body::wrap_stream(pieces))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.meta().file_sha1, digests(&whole).sha1);
}

async fn the_same_content_is_one_copy(server: &Server) {
    let client = server.first().await;
    let bytes = random(700_000);
    let first = client.upload("first.bin", bytes.clone()).await;
    assert_eq!(first.status, 201);
    let second = client.upload("second.bin", bytes).await;
    assert_eq!(second.status, 200, "the owner has it already");
    assert_eq!(second.meta(), first.meta(), "and it keeps its name");
    assert_eq!(server.objects().len(), 1);
    let metrics = client.get("/metrics").await.text();
    assert!(
        metrics.contains("fileserver_uploads_total 2\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("fileserver_deduplicated_uploads_total 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("fileserver_deduplicated_bytes_total 700000\n"),
        "{metrics}"
    );
}

async fn a_deleted_file_is_restored_by_uploading_it(server: &Server) {
    let client = server.client();
    let (sha1, bytes) = client.upload_some("old.txt").await;
    client.delete(&sha1).await;
    let answer = client.upload("new.txt", bytes).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.meta().file_name.as_str(), "new.txt");
    assert_eq!(server.objects().len(), 1);
    assert_eq!(
        client.get(&format!("/files/{sha1}/content")).await.status,
        200
    );
}

async fn digests_that_are_announced_are_verified(server: &Server) {
    let client = server.client();
    for field in ["repr-digest", "content-digest"] {
        let bytes = unique_text();
        let right = digests(bytes.as_bytes());
        let sha1 = format!("sha=:{}:", BASE64_STANDARD.encode(right.sha1.as_bytes()));
        let sha256 = format!(
            "sha-256=:{}:",
            BASE64_STANDARD.encode(right.sha256.as_bytes())
        );
        let other = digests(b"other");
        let wrong_sha1 = format!("sha=:{}:", BASE64_STANDARD.encode(other.sha1.as_bytes()));
        let wrong_sha256 = format!(
            "sha-256=:{}:",
            BASE64_STANDARD.encode(other.sha256.as_bytes())
        );
        let upload = |value: &str| {
            let request = client.request(Method::POST, "/files?file_name=a.txt");
            request.header(field, value).body(bytes.clone())
        };
        for wrong in [
            wrong_sha1.clone(),
            wrong_sha256.clone(),
            format!("{sha1}, {wrong_sha256}"),
            format!("{wrong_sha1}, {sha256}"),
        ] {
            let refused = client.send(upload(&wrong)).await;
            refused.problem(422, "digest-mismatch");
        }
        assert_eq!(
            client.get(&format!("/files/{}", right.sha1)).await.status,
            404
        );
        let stored = client.send(upload(&format!("{sha256}, {sha1}"))).await;
        assert_eq!(stored.status, 201, "{}", stored.text());
    }
    assert_eq!(server.objects().len(), 2, "what was refused is not there");
    form_digests(server).await;
}

/// A part's digests are the file's; the message's `Content-Digest` is that of the whole form.
async fn form_digests(server: &Server) {
    let client = server.client();
    let encode = |bytes: &[u8]| {
        format!(
            "sha=:{}:",
            BASE64_STANDARD.encode(digests(bytes).sha1.as_bytes())
        )
    };
    let bytes = unique_text();
    for (part_digest, status) in [(encode(b"other"), 422), (encode(bytes.as_bytes()), 201)] {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\
             Content-Digest: {part_digest}\r\n\r\n{bytes}\r\n--b--\r\n"
        );
        for (of_message, status) in [(encode(b"other"), 422), (encode(form.as_bytes()), status)] {
            let request = client
                .request(Method::POST, "/files")
                .header("content-type", "multipart/form-data; boundary=b")
                .header("content-digest", of_message)
                .body(form.clone());
            let answer = client.send(request).await;
            assert_eq!(answer.status, status, "{}", answer.text());
        }
    }
}

async fn uploads_of_the_same_content_at_once_are_one_copy(server: &Server) {
    let client = server.client();
    for size in [100, 600_000] {
        let bytes = random(size);
        let uploads = (0..24).map(|_| client.upload("a.bin", bytes.clone()));
        let answers = join_all(uploads).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1);
        assert!(
            answers
                .iter()
                .all(|answer| answer.meta() == answers[0].meta())
        );
    }
    assert_eq!(server.objects().len(), 2);
}

/// The beginnings of the two documents of <https://shattered.io>, whose SHA-1 is the same.
const COLLIDING: [&[u8]; 2] = [
    include_bytes!("collision/1.bin"),
    include_bytes!("collision/2.bin"),
];

async fn contents_that_share_their_sha1_are_told_apart(server: &Server) {
    let client = server.client();
    let [first, second] = COLLIDING;
    let sha1 = digests(first).sha1;
    assert_eq!(digests(second).sha1, sha1);
    assert_eq!(client.upload_raw("a.bin", first).await.status, 201);
    let path = format!("/files/{sha1}");
    for _ in 0..2 {
        client
            .upload_raw("b.bin", second)
            .await
            .problem(409, "digest-collision");
        let put = client.request(Method::PUT, &format!("{path}?file_name=b.bin"));
        client
            .send(put.body(second))
            .await
            .problem(409, "digest-collision");
        client.delete(&sha1).await;
        assert_eq!(client.upload_raw("a.bin", first).await.status, 201);
    }
    assert_eq!(client.get(&format!("{path}/content")).await.body, first);
    assert_eq!(server.objects().len(), 1);
}

async fn files_reach_every_shard_and_are_paged_across_them(server: &Server) {
    let client = server.client();
    let mut by_shard = std::collections::BTreeMap::new();
    for number in 0_u32.. {
        let bytes = number.to_string();
        let shard = digests(bytes.as_bytes()).sha1.as_bytes()[19];
        by_shard.entry(shard).or_insert(bytes);
        if by_shard.len() == 256 {
            break;
        }
    }
    let mut newest_first = Vec::new();
    for (shard, bytes) in by_shard {
        let answer = client.upload_raw(&format!("{shard:02x}"), bytes).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        newest_first.insert(0, answer.meta());
    }
    for limit in [7, 256, 1000] {
        assert_eq!(
            client.list_all(&format!("limit={limit}")).await,
            newest_first
        );
    }
    for meta in newest_first.iter().step_by(37) {
        assert_eq!(
            client
                .get(&format!("/files/{}", meta.file_sha1))
                .await
                .meta(),
            *meta
        );
    }
}
