//! Renaming, deleting, restoring.

use domain::FileStatus;
use futures_util::future::join_all;
use harness::{Server, on_every_database};
use reqwest::Method;
use serde_json::json;

on_every_database! {
    a_file_is_renamed,
    a_file_is_deleted_and_restored,
    a_file_that_was_given_up_is_gone,
    a_change_depends_on_the_version,
    changes_at_once_are_made_one_after_the_other,
}

async fn a_file_is_renamed(server: &Server) {
    let client = server.client();
    let (sha1, bytes) = client.upload_some("a.txt").await;
    let before = client.get(&format!("/files/{sha1}")).await;
    for media_type in [
        "application/merge-patch+json",
        "application/json; charset=utf-8",
    ] {
        let request = client.request(Method::PATCH, &format!("/files/{sha1}"));
        let request = request.header("content-type", media_type);
        let name = format!("数 {media_type}").replace('/', "-");
        let answer = client
            .send(request.body(json!({"file_name": name}).to_string()))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.meta().file_name.as_str(), name);
        assert_eq!(answer.meta().upload_at, before.meta().upload_at);
        assert!(answer.meta().update_at > before.meta().update_at);
        let found = client.get(&format!("/files/{sha1}")).await;
        assert_eq!(found.meta(), answer.meta());
        assert_eq!(found.header("etag"), answer.header("etag"));
    }
    let content = client.get(&format!("/files/{sha1}/content")).await;
    assert_eq!(content.body, bytes);
    assert!(
        content
            .header("content-disposition")
            .contains("UTF-8''%E6%95%B0")
    );

    let same = client.patch(&sha1, &json!({})).await;
    assert_eq!(same.status, 200);
    let again = client.patch(&sha1, &json!({"status": "available"})).await;
    assert_eq!(
        again.header("etag"),
        same.header("etag"),
        "nothing was changed"
    );
    let unknown = "0".repeat(40).parse().unwrap();
    client
        .patch(&unknown, &json!({"file_name": "b"}))
        .await
        .problem(404, "not-found");
}

async fn a_file_is_deleted_and_restored(server: &Server) {
    let client = server.client();
    for by_patch in [false, true] {
        let (sha1, bytes) = client.upload_some("a.txt").await;
        if by_patch {
            let answer = client.patch(&sha1, &json!({"status": "deleted"})).await;
            assert_eq!(answer.meta().status, FileStatus::Deleted);
        } else {
            let answer = client.delete(&sha1).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
        }
        client.delete(&sha1).await.problem(404, "not-found");
        client
            .get(&format!("/files/{sha1}"))
            .await
            .problem(404, "not-found");
        client
            .get(&format!("/files/{sha1}/content"))
            .await
            .problem(404, "not-found");
        client
            .patch(&sha1, &json!({"file_name": "b"}))
            .await
            .problem(404, "not-found");
        client
            .patch(&sha1, &json!({"status": "deleted"}))
            .await
            .problem(404, "not-found");

        let restored = client
            .patch(&sha1, &json!({"status": "available", "file_name": "b"}))
            .await;
        assert_eq!(restored.status, 200, "{}", restored.text());
        assert_eq!(restored.meta().file_name.as_str(), "b");
        assert_eq!(
            client.get(&format!("/files/{sha1}/content")).await.body,
            bytes
        );
    }
}

async fn a_file_that_was_given_up_is_gone(server: &Server) {
    let client = server.client();
    for deleted_before in [false, true] {
        let (sha1, bytes) = client.upload_some("a.txt").await;
        if deleted_before {
            client.delete(&sha1).await;
        }
        let path = format!("/files/{sha1}?purge=true");
        assert_eq!(
            client
                .send(client.request(Method::DELETE, &path))
                .await
                .status,
            204
        );
        client
            .send(client.request(Method::DELETE, &path))
            .await
            .problem(404, "not-found");
        let restored = client.patch(&sha1, &json!({"status": "available"})).await;
        restored.problem(404, "not-found");
        assert!(client.list_all("status=deleted").await.is_empty());
        assert_eq!(client.upload("b.txt", bytes).await.status, 201);
    }
}

async fn a_change_depends_on_the_version(server: &Server) {
    let client = server.client();
    let (sha1, _) = client.upload_some("a.txt").await;
    let path = format!("/files/{sha1}");
    let first = client.get(&path).await.header("etag").to_owned();
    let rename = |tag: &str, name: &str| {
        let request = client
            .request(Method::PATCH, &path)
            .header("if-match", tag.to_owned());
        let request = request.header("content-type", "application/json");
        client.send(request.body(json!({"file_name": name}).to_string()))
    };
    let second = rename(&first, "b.txt").await;
    assert_eq!(second.status, 200);
    rename(&first, "c.txt")
        .await
        .problem(412, "precondition-failed");
    rename("\"x\"", "c.txt")
        .await
        .problem(412, "precondition-failed");
    rename("nonsense", "c.txt")
        .await
        .problem(412, "precondition-failed");
    assert_eq!(rename("*", "d.txt").await.status, 200);
    assert_eq!(client.get(&path).await.meta().file_name.as_str(), "d.txt");

    let delete = |tag: &str| {
        let request = client.request(Method::DELETE, &path);
        client.send(request.header("if-match", tag.to_owned()))
    };
    delete(&first).await.problem(412, "precondition-failed");
    let tag = client.get(&path).await.header("etag").to_owned();
    assert_eq!(delete(&format!("\"x\", {tag}")).await.status, 204);
}

async fn changes_at_once_are_made_one_after_the_other(server: &Server) {
    let client = server.client();
    let (sha1, _) = client.upload_some("a.txt").await;
    let renames = (0..6).map(|number| async move {
        let patch = json!({"file_name": format!("{number}.txt")});
        client.patch(&sha1, &patch).await
    });
    let mut tags = std::collections::BTreeSet::new();
    for answer in join_all(renames).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
        tags.insert(answer.header("etag").to_owned());
    }
    assert_eq!(tags.len(), 6, "each was a version of its own");
}
