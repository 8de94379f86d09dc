//! Searches by name, of which each request looks at a few files.

use harness::{Server, on_every_database};

on_every_database! {
    with &[("FILESERVER_SEARCH_ENTRIES", "3")];
    a_search_goes_on_from_page_to_page,
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
