//! Swagger UI in a real browser.

use harness::{Browser, Kind, Server, unique_text};

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

    // For whoever wants to look at it.
    if let Some(path) = std::env::var_os("SCREENSHOT") {
        browser.screenshot(path.as_ref()).await;
    }
    browser.close().await;
    std::fs::remove_file(file).unwrap();
    server.finish().await;
}
