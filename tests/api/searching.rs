//! Searches by name, of which each request looks at a few files.

use harness::{Server, on_every_database};

on_every_database! {
    with &[("FILESERVER_SEARCH_ENTRIES", "3")];
    a_search_goes_on_from_page_to_page,
    the_same_names_are_found_by_every_database,
    the_command_line_follows_empty_pages,
    a_look_up_of_contents_has_whole_pages,
}

async fn a_search_goes_on_from_page_to_page(server: &Server) {
    let client = server.client();
    for name in ["wanted 1", "wanted 2"] {
        client.upload_some(name).await;
    }
    for number in 0..7 {
        client.upload_some(&format!("{number}")).await;
    }
    client.upload_some("wanted 3").await;
    // The pages of a search for all, and those of one that ends within a page.
    for (query, pages) in [
        (
            "name=wanted",
            vec![vec!["wanted 3"], vec![], vec!["wanted 2"], vec!["wanted 1"]],
        ),
        (
            "name=wanted&limit=1",
            vec![vec!["wanted 3"], vec![], vec!["wanted 2"], vec!["wanted 1"]],
        ),
        ("name=nothing", vec![vec![]; 4]),
    ] {
        let mut url = Some(format!("/files?{query}"));
        let mut shown: Vec<Vec<String>> = Vec::new();
        while let Some(at) = url {
            let page = client.get(&at).await;
            let json = page.json();
            let files = json["files"].as_array().unwrap();
            let name = |file: &serde_json::Value| file["file_name"].as_str().unwrap().to_owned();
            shown.push(files.iter().map(name).collect());
            let next = json["next"].as_str();
            assert_eq!(next.is_some(), !page.header("link").is_empty());
            url = next.map(|next| format!("/files?{query}&cursor={next}"));
        }
        assert_eq!(shown, pages, "{query}");
    }
}

async fn names(server: &Server, query: &str) -> Vec<String> {
    let files = server.client().list_all(query).await;
    let name = |file: &domain::FileMeta| file.file_name.to_string();
    files.iter().map(name).collect()
}

async fn the_same_names_are_found_by_every_database(server: &Server) {
    let all = [
        "Übersicht.txt",
        "U\u{308}BERSICHT 2.txt",
        "100%.txt",
        "100x.txt",
        "a_b",
        "aXb",
        "back!slash",
        "ПРИВЕТ",
        "ΣΊΣΥΦΟΣ",
        "Straße",
        "ZAŻÓŁĆ.pdf",
        "日本語.txt",
        "ﬁn",
    ];
    for name in all {
        server.client().upload_some(name).await;
    }
    for (text, found) in [
        ("übersicht", vec!["U\u{308}BERSICHT 2.txt", "Übersicht.txt"]),
        ("BERSICHT", vec!["U\u{308}BERSICHT 2.txt", "Übersicht.txt"]),
        (
            "u\u{308}bersicht",
            vec!["U\u{308}BERSICHT 2.txt", "Übersicht.txt"],
        ),
        ("100%", vec!["100%.txt"]),
        ("a_B", vec!["a_b"]),
        ("!", vec!["back!slash"]),
        ("привет", vec!["ПРИВЕТ"]),
        ("σίσυ", vec!["ΣΊΣΥΦΟΣ"]),
        ("ß", vec!["Straße"]),
        ("strasse", vec![]),
        ("Żółć", vec!["ZAŻÓŁĆ.pdf"]),
        ("zażo", vec![]),
        ("本", vec!["日本語.txt"]),
        ("fin", vec![]),
        (
            "x",
            vec![
                "日本語.txt",
                "aXb",
                "100x.txt",
                "100%.txt",
                "U\u{308}BERSICHT 2.txt",
                "Übersicht.txt",
            ],
        ),
    ] {
        let escaped: Vec<_> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let query = format!("name={}", escaped.concat());
        assert_eq!(names(server, &query).await, found, "{text}");
    }
}

async fn the_command_line_follows_empty_pages(server: &Server) {
    server.client().upload_some("wanted").await;
    for number in 0..8 {
        server.client().upload_some(&format!("{number}")).await;
    }
    let url = server.client().url("");
    for limit in ["1", "5"] {
        let listed = server.command(&["ls", "--server", &url, "--name", "WANT", "--limit", limit]);
        let said = String::from_utf8_lossy(&listed.stderr);
        assert!(listed.status.success(), "{said}");
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.trim().ends_with("  wanted"), "{listed}");
        assert_eq!(listed.lines().count(), 1);
    }
}

/// What is looked up by its content is not searched for, even if its name counts too.
async fn a_look_up_of_contents_has_whole_pages(server: &Server) {
    let client = server.client();
    let (sha1, _) = client.upload_some("wanted").await;
    for number in 0..5 {
        client.upload_some(&format!("{number}")).await;
    }
    for (text, count) in [("want", 1), ("other", 0)] {
        let page = client
            .get(&format!("/files?file_sha1={sha1}&name={text}"))
            .await;
        let page = page.json();
        assert_eq!(page["files"].as_array().unwrap().len(), count);
        assert!(page["next"].is_null(), "{page}");
    }
}
