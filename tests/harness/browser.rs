//! A real browser, by way of WebDriver (<https://www.w3.org/TR/webdriver2/>).

use std::{fs, path::Path, process::Stdio, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::sleep,
};

use crate::program;

/// The member by which WebDriver refers to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Headless Chromium, which is stopped when this is dropped.
pub struct Browser {
    session: String,
    http: reqwest::Client,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser.
    pub async fn start() -> Self {
        let mut driver = Command::from(program("chromedriver"))
            .arg("--port=0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("chromedriver starts");
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let profile = tempfile::tempdir().unwrap();
        let folder = format!("--user-data-dir={}", profile.path().display());
        let options = json!({"args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--window-size=1200,2400", folder,
        ]});
        let capabilities = json!({"alwaysMatch": {"goog:chromeOptions": options}});
        let http = crate::http().build().unwrap();
        let base = format!("http://127.0.0.1:{port}/session");
        let begin = http
            .post(&base)
            .json(&json!({"capabilities": capabilities}));
        let answer: Value = begin.send().await.unwrap().json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("the browser starts: {answer}"));
        Self {
            session: format!("{base}/{id}"),
            http,
            _driver: driver,
            _profile: profile,
        }
    }

    /// Goes to a page.
    pub async fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url})).await.unwrap();
    }

    /// Clicks the element of a CSS selector, once it exists.
    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/click"), &json!({}))
            .await
            .unwrap();
    }

    /// Types text into the element of a CSS selector; for a file input, the text is the file's path.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        let keys = json!({"text": text});
        self.post(&format!("/element/{element}/value"), &keys)
            .await
            .unwrap();
    }

    /// The text of the element of a CSS selector, once it has some.
    pub async fn text(&self, selector: &str) -> String {
        for _ in 0..100 {
            let element = self.find(selector).await;
            let text = self.get(&format!("/element/{element}/text")).await;
            match text.as_ref().map(Value::as_str) {
                Ok(Some(text)) if !text.is_empty() => return text.to_owned(),
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
        panic!("{selector} stays without text");
    }

    /// Runs the body of an asynchronous function in the page, and returns the text that it returns.
    pub async fn run(&self, script: &str) -> String {
        let script = format!("return (async () => {{ {script} }})()");
        let body = json!({"script": script, "args": []});
        let value = self.post("/execute/sync", &body).await.unwrap();
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Writes a picture of the page into a file.
    pub async fn screenshot(&self, path: &Path) {
        let picture = self.get("/screenshot").await.unwrap();
        let picture = BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap();
        fs::write(path, picture).unwrap();
    }

    /// Closes the browser.
    pub async fn close(self) {
        self.http.delete(&self.session).send().await.unwrap();
    }

    async fn find(&self, selector: &str) -> String {
        let query = json!({"using": "css selector", "value": selector});
        for _ in 0..100 {
            if let Ok(found) = self.post("/element", &query).await {
                return found[ELEMENT].as_str().unwrap().to_owned();
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{selector} is not on the page");
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Value> {
        let request = self.http.post(format!("{}{path}", self.session)).json(body);
        value(request).await
    }

    async fn get(&self, path: &str) -> Result<Value, Value> {
        value(self.http.get(format!("{}{path}", self.session))).await
    }
}

async fn value(request: reqwest::RequestBuilder) -> Result<Value, Value> {
    let response = request.send().await.unwrap();
    let succeeded = response.status().is_success();
    let mut answer: Value = response.json().await.unwrap();
    let value = answer["value"].take();
    if succeeded { Ok(value) } else { Err(value) }
}
