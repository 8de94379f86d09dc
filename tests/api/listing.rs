//! Listings.

use harness::{Server, on_every_database, random};
use reqwest::Method;

on_every_database! {
    a_listing_is_newest_first_and_says_where_it_goes_on,
    a_listing_stays_right_while_files_come_and_go,
    names_are_searched_for,
    deleted_files_are_listed_apart,
    a_batch_is_looked_up,
    a_cursor_works_in_its_own_listing_only,
}

async fn upload_names(server: &Server, names: &[&str]) -> Vec<String> {
    let mut sha1s = Vec::new();
    for name in names {
        sha1s.push(server.client().upload_some(name).await.0.to_string());
    }
    sha1s
}

async fn names(server: &Server, query: &str) -> Vec<String> {
    let files = server.client().list_all(query).await;
    files
        .iter()
        .map(|file| file.file_name.to_string())
        .collect()
}

async fn a_listing_is_newest_first_and_says_where_it_goes_on(server: &Server) {
    let client = server.client();
    let empty = client.get("/files").await;
    assert_eq!(empty.json(), serde_json::json!({"files": [], "next": null}));

    let all: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    upload_names(server, &all).await;
    let newest_first: Vec<&str> = all.iter().rev().copied().collect();

    let page = client.get("/files").await;
    let shown = page.json();
    assert_eq!(shown["files"].as_array().unwrap().len(), 20, "by default");
    let next = shown["next"].as_str().unwrap();
    let link = format!("</files?limit=20&cursor={next}>; rel=\"next\"");
    assert_eq!(page.header("link"), link);
    let rest = client.get(&format!("/files?limit=20&cursor={next}")).await;
    assert_eq!(rest.json()["files"].as_array().unwrap().len(), 5);
    assert_eq!(rest.header("link"), "");

    for limit in [1, 5, 24, 25, 26, 1000] {
        assert_eq!(
            names(server, &format!("limit={limit}")).await,
            newest_first,
            "{limit}"
        );
    }
    let head = client.send(client.request(Method::HEAD, "/files")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

async fn a_listing_stays_right_while_files_come_and_go(server: &Server) {
    let client = server.client();
    let sha1s = upload_names(server, &["a", "b", "c", "d", "e", "f"]).await;
    let first = client.get("/files?limit=2").await.json();
    upload_names(server, &["new"]).await;
    client.delete(&sha1s[5].parse().unwrap()).await;
    client.delete(&sha1s[2].parse().unwrap()).await;
    let next = first["next"].as_str().unwrap();
    let second = client
        .get(&format!("/files?limit=2&cursor={next}"))
        .await
        .json();
    let shown: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|page| page["files"].as_array().unwrap())
        .map(|file| file["file_name"].as_str().unwrap())
        .collect();
    assert_eq!(shown, ["f", "e", "d", "b"]);
}

async fn names_are_searched_for(server: &Server) {
    let client = server.client();
    upload_names(
        server,
        &["Report 100%.txt", "report 100x.txt", "ÄRGER.md", "b & c"],
    )
    .await;
    assert_eq!(
        names(server, "name=REPORT").await,
        ["report 100x.txt", "Report 100%.txt"]
    );
    assert_eq!(names(server, "name=100%25").await, ["Report 100%.txt"]);
    assert_eq!(names(server, "name=%C3%A4rger&limit=1").await, ["ÄRGER.md"]);
    assert_eq!(names(server, "name=nothing").await, [] as [&str; 0]);
    assert_eq!(names(server, "name=").await.len(), 4);
    // macOS sends letters and their marks apart.
    let apart = "U\u{308}BERSICHT.txt";
    upload_names(server, &[apart, "Übersicht 2.txt"]).await;
    for spelling in ["%C3%BCbersicht", "u%CC%88bersicht", "%C3%9CBERSICHT"] {
        let found = names(server, &format!("name={spelling}")).await;
        assert_eq!(
            found,
            ["Übersicht 2.txt", apart],
            "the names are as they were sent"
        );
    }
    // As an earlier version stored it.
    let _ = server.database().sql(&format!(
        "UPDATE tbl_user_file SET file_name_folded = '{}' WHERE file_name = '{apart}'",
        apart.to_lowercase()
    ));
    let found = names(server, "name=%C3%BCbersicht").await;
    assert_eq!(found.len(), 2);
    // The link repeats what was searched for.
    upload_names(server, &["b & c 2"]).await;
    let page = client.get("/files?name=b+%26+c&limit=1").await;
    let link = page.header("link").strip_prefix('<').unwrap();
    let rest = client.get(link.split('>').next().unwrap()).await;
    assert_eq!(rest.json()["files"][0]["file_name"], "b & c", "{link}");
}

async fn deleted_files_are_listed_apart(server: &Server) {
    let client = server.client();
    let sha1s = upload_names(server, &["a", "b", "c"]).await;
    client.delete(&sha1s[1].parse().unwrap()).await;
    assert_eq!(names(server, "").await, ["c", "a"]);
    assert_eq!(names(server, "status=available&limit=1").await, ["c", "a"]);
    let deleted = client.list_all("status=deleted").await;
    assert_eq!(deleted.len(), 1);
    assert_eq!(deleted[0].file_sha1.to_string(), sha1s[1]);
    assert_eq!(deleted[0].status, domain::FileStatus::Deleted);
}

async fn a_batch_is_looked_up(server: &Server) {
    let client = server.client();
    let sha1s = upload_names(server, &["a", "b", "c"]).await;
    let unknown = "0".repeat(40);
    let query = format!(
        "file_sha1={}&file_sha1={unknown}&file_sha1={}",
        sha1s[0], sha1s[2]
    );
    assert_eq!(names(server, &query).await, ["c", "a"]);
    let query = format!("file_sha1={},{}", sha1s[0].to_uppercase(), sha1s[1]);
    assert_eq!(names(server, &query).await, ["b", "a"]);
    assert_eq!(names(server, &format!("{query}&limit=1")).await, ["b", "a"]);

    let many = |count: usize| {
        let sha1 = |_| harness::digests(&random(8)).sha1.to_string();
        (0..count).map(sha1).collect::<Vec<_>>().join(",")
    };
    let answer = client.get(&format!("/files?file_sha1={}", many(100))).await;
    assert_eq!(answer.status, 200);
    let answer = client.get(&format!("/files?file_sha1={}", many(101))).await;
    answer.problem(400, "invalid-query");
}

async fn a_cursor_works_in_its_own_listing_only(server: &Server) {
    let client = server.client();
    upload_names(server, &["a", "b", "c"]).await;
    let page = client.get("/files?limit=1").await.json();
    let cursor = page["next"].as_str().unwrap();
    assert_eq!(
        client.get(&format!("/files?cursor={cursor}")).await.status,
        200
    );

    let changed = |at: usize| {
        let mut changed = cursor.to_owned().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(changed).unwrap()
    };
    for query in [
        format!("cursor={}", changed(0)),
        format!("cursor={}", changed(20)),
        format!("cursor={}", changed(cursor.len() - 2)),
        format!("cursor={}", &cursor[1..]),
        format!("cursor={cursor}A"),
        "cursor=%00".to_owned(),
        "cursor=1".to_owned(),
        format!("cursor={cursor}&status=deleted"),
        format!("cursor={cursor}&name=a"),
    ] {
        let refused = client.get(&format!("/files?{query}")).await;
        refused.problem(400, "invalid-cursor");
        assert_eq!(refused.json()["source"]["name"], "cursor");
    }
}
