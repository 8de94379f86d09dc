//! Pages in a real browser: Swagger UI, and one that uploads with tus-js-client.

use std::{path::Path, time::Duration};

use harness::{Browser, Kind, Server, digests, random, unique_text, variable};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

#[tokio::test]
async fn swagger_ui_authorizes_with_a_token() {
    let server = Server::start(Kind::Sqlite, &[("FILESERVER_AUTH", "token")]).await;
    let token = server.token("alice", "files:read,files:write");
    let alice = server.client().with_token(&token);
    alice.upload("hers.txt", unique_text()).await;
    let browser = Browser::start().await;
    browser.open(&server.client().url("/swagger-ui/")).await;
    let list = "#operations-files-list_files";
    browser
        .click(&format!("{list} .opblock-summary-control"))
        .await;
    browser.click(&format!("{list} .execute")).await;
    let status = format!("{list} .live-responses-table tbody .response-col_status");
    assert!(browser.text(&status).await.starts_with("401"));

    browser.click(".auth-wrapper .authorize").await;
    browser.type_into(".auth-container input", &token).await;
    browser.click(".auth-btn-wrapper .authorize").await;
    // For a developer who wants to see the page.
    if let Some(path) = std::env::var_os("SCREENSHOT_AUTHORIZE") {
        browser.screenshot(path.as_ref()).await;
    }
    browser.click(".auth-btn-wrapper .btn-done").await;
    browser.click(&format!("{list} .btn-clear")).await;
    browser.click(&format!("{list} .execute")).await;
    let body = format!("{list} .live-responses-table tbody .response-col_description");
    let answer = browser.text(&body).await;
    assert!(answer.contains("hers.txt"), "{answer}");
    assert!(browser.text(&status).await.starts_with("200"));
    browser.close().await;
    server.finish().await;
}

#[tokio::test]
async fn swagger_ui_shows_and_exercises_the_service() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let browser = Browser::start().await;
    browser.open(&server.client().url("/swagger-ui/")).await;
    assert!(browser.text(".info .title").await.contains("fileserver"));

    let file = server.data().join("from the browser.txt");
    let content = unique_text();
    std::fs::write(&file, &content).unwrap();
    let upload = "#operations-files-upload_file";
    browser
        .click(&format!("{upload} .opblock-summary-control"))
        .await;
    let multipart = format!(
        "{upload} .body-param-content-type option[value='multipart/form-data'], \
         {upload} .opblock-section-request-body option[value='multipart/form-data']"
    );
    browser.click(&multipart).await;
    let chooser = format!("{upload} input[type=file]");
    browser.type_into(&chooser, file.to_str().unwrap()).await;
    browser.click(&format!("{upload} .execute")).await;
    let status = format!("{upload} .live-responses-table tbody .response-col_status");
    let answer = browser
        .text(&format!("{upload} .live-responses-table tbody"))
        .await;
    assert!(browser.text(&status).await.starts_with("201"), "{answer}");
    let stored = server.client().list_all("").await.remove(0);
    assert_eq!(stored.file_name.as_str(), "from the browser.txt");

    let list = "#operations-files-list_files";
    browser
        .click(&format!("{list} .opblock-summary-control"))
        .await;
    browser.click(&format!("{list} .execute")).await;
    let status = format!("{list} .live-responses-table tbody .response-col_status");
    assert!(browser.text(&status).await.starts_with("200"));
    let body = format!("{list} .live-responses-table tbody .response-col_description");
    assert!(browser.text(&body).await.contains("from the browser.txt"));

    // For a developer who wants to see the page.
    if let Some(path) = std::env::var_os("SCREENSHOT") {
        browser.screenshot(path.as_ref()).await;
    }
    browser.close().await;
    std::fs::remove_file(file).unwrap();
    server.finish().await;
}

#[tokio::test]
async fn a_page_of_another_origin_uploads_while_the_service_is_killed() {
    let origin = serve_page().await;
    let server = Server::start(Kind::Sqlite, &[("FILESERVER_CORS_ORIGINS", &origin)]).await;
    let browser = Browser::start().await;
    let endpoint = server.client().url("/tus");
    browser
        .open(&format!("{origin}/?endpoint={endpoint}"))
        .await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("from a page.bin");
    let bytes = random(60_000_000);
    std::fs::write(&file, &bytes).unwrap();
    browser.type_into("#file", file.to_str().unwrap()).await;
    while server.staged().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    server.kill().await;
    sleep(Duration::from_millis(500)).await;
    server.restart().await;
    assert_eq!(browser.text("#message a").await, "from a page.bin");
    if let Some(path) = std::env::var_os("SCREENSHOT_OF_UPLOAD") {
        browser.screenshot(path.as_ref()).await;
    }
    browser.close().await;
    let content = format!("/files/{}/content", digests(&bytes).sha1);
    assert!(server.client().get(&content).await.body == bytes);
    server.finish().await;
}

/// Serves the documentation's page and the library that it needs, and returns their origin.
async fn serve_page() -> String {
    let script = variable("TEST_TUS_JAVASCRIPT");
    let library = Path::new(&script).with_file_name("node_modules/tus-js-client/dist/tus.min.js");
    let library = std::fs::read(library).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/upload.html");
    let page = std::fs::read(page).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, &page, &library).await;
        }
    });
    origin
}

async fn answer(mut stream: TcpStream, page: &[u8], library: &[u8]) {
    let mut request = [0; 4096];
    let length = stream.read(&mut request).await.unwrap_or(0);
    let is_library = request[..length].starts_with(b"GET /tus.min.js ");
    let (media_type, body) = if is_library {
        ("text/javascript", library)
    } else {
        ("text/html", page)
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // A browser may open connections that it does not use.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
}
