//! Owners at work. Each of them knows the files that the service acknowledged.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use domain::Sha1;
use futures_util::{StreamExt as _, stream};
use harness::{Client, Dice, File, TusUpload};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    journal::{Journal, Kind},
    staleness::Change,
};

/// The time after which what still fails counts as lost.
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

/// The timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The number of bytes in a request of a resumable upload.
const PIECE: usize = 256 * 1024;

/// Files that a single owner has, and contents that every owner may upload.
pub(crate) type Shared = Mutex<(Vec<(usize, File)>, Vec<File>)>;

/// An owner, and what was acknowledged to them.
pub(crate) struct Owner {
    number: usize,
    client: Client,
    journal: Arc<Journal>,
    shared: Arc<Shared>,
    dice: Dice,
    files: BTreeMap<Sha1, Entry>,
}

struct Entry {
    file: File,
    name: String,
    is_deleted: bool,
    changed: Change,
}

/// A definite answer.
struct Answer {
    /// When its request was sent.
    sent: Instant,
    status: StatusCode,
    location: Option<String>,
    offset: Option<usize>,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn told(&self) -> String {
        format!("{}: {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Owner {
    pub(crate) fn new(
        number: usize,
        client: Client,
        journal: Arc<Journal>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            number,
            client,
            journal,
            shared,
            dice: Dice::random(),
            files: BTreeMap::new(),
        }
    }

    /// Works until the traffic ends.
    pub(crate) async fn work(mut self) -> Self {
        while !self.journal.has_ended() {
            match self.dice.below(100) {
                0..25 => self.upload().await,
                25..32 => self.upload_in_pieces().await,
                32..37 => self.bring_what_others_have().await,
                37..57 => self.look().await,
                57..70 => self.download().await,
                70..75 => self.list().await,
                75..85 => self.rename().await,
                85..90 => self.delete().await,
                90..92 => self.restore().await,
                92..97 => self.look_at_others().await,
                _ => self.share().await,
            }
        }
        self
    }

    /// Reads until the traffic ends, and changes nothing after the first files.
    pub(crate) async fn read_on(mut self) -> Self {
        for _ in 0..20 {
            self.upload().await;
        }
        while !self.journal.has_ended() {
            match self.dice.below(10) {
                0..5 => self.look().await,
                5..9 => self.download().await,
                _ => self.list().await,
            }
        }
        self
    }

    /// Asserts that exactly the acknowledged files are there, and intact; returns their number.
    pub(crate) async fn verify(self) -> usize {
        self.list().await;
        let kept = self.files.iter().filter(|(_, entry)| !entry.is_deleted);
        let downloads = kept.map(async |(sha1, entry)| {
            let request = || self.request(Method::GET, &format!("/files/{sha1}/content"));
            let answer = self.send(Kind::Read, request).await;
            assert_eq!(answer.status, 200, "{sha1}: {}", answer.told());
            assert!(answer.body == entry.file.bytes(), "{sha1} has other bytes");
        });
        stream::iter(downloads).buffer_unordered(4).count().await
    }

    async fn upload(&mut self) {
        let file = self.dice.file(1, 60_000);
        self.put(file).await;
        self.shared.lock().unwrap().0.push((self.number, file));
    }

    async fn put(&mut self, file: File) {
        let name = self.name();
        let bytes = file.bytes();
        let began = Instant::now();
        let request = || {
            self.request(Method::POST, "/files")
                .query(&[("file_name", &name)])
                .header("content-type", "application/octet-stream")
                .body(bytes.clone())
        };
        let answer = self.send(Kind::Write, request).await;
        assert!(answer.status.is_success(), "{}", answer.told());
        assert_eq!(answer.json()["file_sha1"], file.sha1().to_string());
        self.keep(file, name, Change::since(began));
    }

    /// Uploads a content that other owners may have as well.
    async fn bring_what_others_have(&mut self) {
        let known = {
            let mut shared = self.shared.lock().unwrap();
            if shared.1.len() < 50 {
                shared.1.push(self.dice.file(1, 60_000));
            }
            shared.1[self.dice.below(shared.1.len())]
        };
        // An owner who has it already would keep its old name.
        if !self.files.contains_key(&known.sha1()) {
            self.put(known).await;
        }
    }

    async fn upload_in_pieces(&mut self) {
        let file = self.dice.file(PIECE, 6 * PIECE);
        let (name, bytes) = (self.name(), file.bytes());
        let began = Instant::now();
        let request = || TusUpload::beginning(&self.client, bytes.len(), &[("filename", &name)]);
        let created = self.send(Kind::Write, request).await;
        assert_eq!(created.status, 201, "{}", created.told());
        let url = created.location.unwrap();
        let upload = TusUpload::at(&self.client, &url);
        let mut offset = 0;
        while offset < bytes.len() {
            let end = bytes.len().min(offset + PIECE);
            let appended = self
                .try_once(
                    Kind::Write,
                    upload.appending(offset).body(bytes[offset..end].to_vec()),
                )
                .await;
            offset = match appended {
                Some(answer) if answer.status == 204 => answer.offset.unwrap(),
                Some(answer) if !matches!(answer.status.as_u16(), 409 | 423) => {
                    panic!("the upload is lost: {}", answer.told())
                }
                _ => {
                    // The offset is read from the primary, and the upload goes on there.
                    let asked = self.send(Kind::Write, || upload.inspecting()).await;
                    assert_eq!(asked.status, 200, "the upload is lost: {}", asked.told());
                    asked.offset.unwrap()
                }
            };
        }
        self.keep(file, name, Change::since(began));
        self.shared.lock().unwrap().0.push((self.number, file));
    }

    async fn look(&mut self) {
        let Some(sha1) = self.any(|_| true) else {
            return;
        };
        let path = format!("/files/{sha1}");
        let entry = &self.files[&sha1];
        let is_as_known = |answer: &Answer| {
            if entry.is_deleted {
                return answer.status == 404;
            }
            answer.status == 200 && answer.json()["file_name"] == entry.name
        };
        let kind = if entry.is_deleted {
            Kind::Absence
        } else {
            Kind::Read
        };
        self.read_as(kind, &path, Some(entry.changed), is_as_known)
            .await;
    }

    async fn download(&mut self) {
        let Some(sha1) = self.any(|entry| !entry.is_deleted) else {
            return;
        };
        let path = format!("/files/{sha1}/content");
        self.read_content(&path, &self.files[&sha1]).await;
    }

    async fn list(&self) {
        let kept = self.files.iter().filter(|(_, entry)| !entry.is_deleted);
        let mut kept: Vec<(String, &str)> = kept
            .map(|(sha1, entry)| (sha1.to_string(), entry.name.as_str()))
            .collect();
        kept.sort_unstable();
        let is_as_known = |answer: &Answer| {
            let listed = answer.json();
            let text = |file: &Value, key: &str| file[key].as_str().unwrap().to_owned();
            let files = listed["files"].as_array().unwrap().iter();
            let mut files: Vec<(String, String)> = files
                .map(|file| (text(file, "file_sha1"), text(file, "file_name")))
                .collect();
            for (sha1, name) in &files {
                assert!(
                    name.starts_with(&self.begin_of_names()),
                    "{sha1} is another owner's"
                );
            }
            files.sort_unstable();
            // A page has a thousand.
            let is_same =
                |((sha1, name), (known, called)): (&(String, String), &(String, &str))| {
                    sha1 == known && name == called
                };
            kept.len() > 1000 || files.len() == kept.len() && files.iter().zip(&kept).all(is_same)
        };
        // A listing is not cached, so no change of an entry excuses it.
        self.read_as(Kind::Read, "/files?limit=1000", None, is_as_known)
            .await;
    }

    async fn rename(&mut self) {
        let Some(sha1) = self.any(|entry| !entry.is_deleted) else {
            return;
        };
        let name = self.name();
        let changed = self.patch(&sha1, &json!({"file_name": name})).await;
        let entry = self.files.get_mut(&sha1).unwrap();
        (entry.name, entry.changed) = (name, changed);
    }

    async fn restore(&mut self) {
        let Some(sha1) = self.any(|entry| entry.is_deleted) else {
            return;
        };
        let changed = self.patch(&sha1, &json!({"status": "available"})).await;
        let entry = self.files.get_mut(&sha1).unwrap();
        (entry.is_deleted, entry.changed) = (false, changed);
    }

    async fn patch(&self, sha1: &Sha1, patch: &Value) -> Change {
        let began = Instant::now();
        let request = || {
            self.request(Method::PATCH, &format!("/files/{sha1}"))
                .header("content-type", "application/merge-patch+json")
                .body(patch.to_string())
        };
        let answer = self.send(Kind::Write, request).await;
        assert_eq!(answer.status, 200, "{sha1} {patch}: {}", answer.told());
        Change::since(began)
    }

    async fn delete(&mut self) {
        let Some(sha1) = self.any(|entry| !entry.is_deleted) else {
            return;
        };
        let began = Instant::now();
        let request = || self.request(Method::DELETE, &format!("/files/{sha1}"));
        let answer = self.send(Kind::Write, request).await;
        // nginx may have asked twice, if the first replica died before it could answer. What was
        // not deleted after all is found by whoever looks next.
        let is_gone = matches!(answer.status.as_u16(), 204 | 404);
        assert!(is_gone, "{sha1}: {}", answer.told());
        let entry = self.files.get_mut(&sha1).unwrap();
        (entry.is_deleted, entry.changed) = (true, Change::since(began));
    }

    /// Another owner's file is not found.
    async fn look_at_others(&mut self) {
        let file = {
            let shared = self.shared.lock().unwrap();
            let count = shared.0.len().max(1);
            let found = shared.0.get(self.dice.below(count));
            found
                .filter(|(owner, _)| *owner != self.number)
                .map(|(_, file)| *file)
        };
        let Some(file) = file else { return };
        let sha1 = file.sha1();
        for path in ["", "/content"] {
            let request = || self.request(Method::GET, &format!("/files/{sha1}{path}"));
            let answer = self.send(Kind::Absence, request).await;
            assert_eq!(answer.status, 404, "another owner's: {}", answer.told());
        }
    }

    async fn share(&mut self) {
        let Some(sha1) = self.any(|entry| !entry.is_deleted) else {
            return;
        };
        let request = || {
            self.request(Method::POST, &format!("/files/{sha1}/links"))
                .json(&json!({"expires_in": 60}))
        };
        let answer = self.send(Kind::Write, request).await;
        assert_eq!(answer.status, 201, "{sha1}: {}", answer.told());
        let url = answer.json()["url"].as_str().unwrap().to_owned();
        self.read_content(&url, &self.files[&sha1]).await;
    }

    async fn read_content(&self, path: &str, entry: &Entry) {
        let bytes = entry.file.bytes();
        let is_as_known = |answer: &Answer| answer.status == 200 && answer.body == bytes;
        self.read_as(Kind::Read, path, Some(entry.changed), is_as_known)
            .await;
    }

    /// Reads until the answer is as it is known to be. Another answer has to be allowed by the
    /// journal, for what was changed last.
    async fn read_as(
        &self,
        kind: Kind,
        path: &str,
        changed: Option<Change>,
        is_as_known: impl Fn(&Answer) -> bool,
    ) {
        let began = Instant::now();
        loop {
            let request = || self.request(Method::GET, path);
            let answer = self.send(kind, request).await;
            if is_as_known(&answer) {
                return;
            }
            let told = answer.told();
            assert!(
                self.journal.may_be_stale(changed, answer.sent).await,
                "{path} is not what was acknowledged {:?} before: {told}",
                changed.map(|changed| answer.sent - changed.acknowledged),
            );
            assert!(
                began.elapsed() < RETRY_TIMEOUT,
                "{path} stays stale: {told}"
            );
            self.journal.note_stale_read();
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Sends a request until the answer is not a fault of the cluster.
    async fn send(&self, kind: Kind, request: impl Fn() -> RequestBuilder) -> Answer {
        let began = Instant::now();
        loop {
            if let Some(answer) = self.try_once(kind, request()).await {
                return answer;
            }
            assert!(
                began.elapsed() < RETRY_TIMEOUT,
                "it fails for too long: {:?}",
                request()
            );
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Sends a request once; nothing if it failed for a fault of the cluster.
    async fn try_once(&self, kind: Kind, request: RequestBuilder) -> Option<Answer> {
        let began = Instant::now();
        let answered = async {
            let answer = request.send().await?;
            let header = |name: &str| {
                let value = answer.headers().get(name)?;
                Some(value.to_str().unwrap().to_owned())
            };
            let (location, offset) = (header("location"), header("upload-offset"));
            Ok::<_, reqwest::Error>(Answer {
                sent: began,
                status: answer.status(),
                location,
                offset: offset.map(|offset| offset.parse().unwrap()),
                body: answer.bytes().await?.to_vec(),
            })
        };
        let failure = match timeout(REQUEST_TIMEOUT, answered).await {
            Ok(Ok(answer)) if !answer.status.is_server_error() => {
                self.journal.note(kind, began, None);
                return Some(answer);
            }
            Ok(Ok(answer)) => answer.status.as_u16().to_string(),
            Ok(Err(error)) if error.is_connect() => "no connection".to_owned(),
            Ok(Err(_)) => "broken off".to_owned(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.journal.note(kind, began, Some(failure));
        None
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path)
    }

    /// One of the files that are so.
    fn any(&mut self, is_so: impl Fn(&Entry) -> bool) -> Option<Sha1> {
        let of_interest = self.files.iter().filter(|(_, entry)| is_so(entry));
        let of_interest: Vec<&Sha1> = of_interest.map(|(sha1, _)| sha1).collect();
        if of_interest.is_empty() {
            return None;
        }
        Some(*of_interest[self.dice.below(of_interest.len())])
    }

    fn keep(&mut self, file: File, name: String, changed: Change) {
        let entry = Entry {
            file,
            name,
            is_deleted: false,
            changed,
        };
        self.files.insert(file.sha1(), entry);
    }

    fn begin_of_names(&self) -> String {
        format!("owner{}-", self.number)
    }

    fn name(&mut self) -> String {
        format!("{}{:x}", self.begin_of_names(), self.dice.below(usize::MAX))
    }
}
