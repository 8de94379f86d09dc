//! Owners at work. Each of them knows what was acknowledged, and the one change that was not.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{
    Sha1,
    possession::{Nonce, Prover},
};
use harness::{Answer, Client, Dice, File};
use reqwest::{
    Method, RequestBuilder,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::{
    model::{Change, Model},
    uploads::{Protocol, Unfinished},
};

/// Contents that were acknowledged to some owner, and which others upload and claim.
pub(crate) type Shared = Mutex<Vec<File>>;

/// The number of files from which an owner deletes some for good.
const ENOUGH_FILES: usize = 40;

/// The number of bytes in a request of an upload in several requests.
const PIECE: usize = 200_000;

/// A request got no answer, or one that does not tell what was done.
#[derive(Debug)]
pub(crate) struct Unanswered(#[expect(dead_code, reason = "a failed test shows it")] String);

type Answered<T> = Result<T, Unanswered>;

/// An owner, and what was acknowledged to them.
pub(crate) struct Owner {
    number: u64,
    client: Client,
    dice: Dice,
    shared: Arc<Shared>,
    files: Model,
    uploads: Vec<Unfinished>,
    /// The change that was asked for last, if it got no answer.
    uncertain: Option<Change>,
    /// What changed since its bytes were compared last.
    changed: BTreeSet<Sha1>,
    acknowledged: usize,
    unanswered: usize,
}

impl Owner {
    pub(crate) fn new(number: u64, seed: u64, client: &Client, shared: &Arc<Shared>) -> Self {
        Self {
            number,
            client: client.clone(),
            dice: Dice::seeded(seed.wrapping_mul(1000) + number),
            shared: Arc::clone(shared),
            files: Model::default(),
            uploads: Vec::new(),
            uncertain: None,
            changed: BTreeSet::new(),
            acknowledged: 0,
            unanswered: 0,
        }
    }

    /// How many changes were acknowledged, and how many got no answer.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.acknowledged, self.unanswered)
    }

    /// Works until a request gets no answer.
    pub(crate) async fn work(mut self) -> Self {
        while self.do_something().await.is_ok() {}
        self
    }

    async fn do_something(&mut self) -> Answered<()> {
        if self.files.len() > ENOUGH_FILES {
            return self.purge().await;
        }
        match self.dice.below(100) {
            0..15 => self.upload(Self::raw).await,
            15..25 => self.upload(Self::form).await,
            25..30 => self.upload(Self::put).await,
            30..48 => self.upload_in_pieces(Protocol::Tus).await,
            48..60 => self.upload_in_pieces(Protocol::Draft).await,
            60..66 => self.claim().await,
            66..70 => self.bring_what_is_there().await,
            70..77 => self.rename().await,
            77..82 => self.delete().await,
            82..85 => self.restore().await,
            85..95 => self.download().await,
            _ => self.list().await,
        }
    }

    async fn upload(&mut self, way: fn(&Self, &File, &str) -> RequestBuilder) -> Answered<()> {
        let file = self.some_file();
        let name = self.name();
        let request = way(self, &file, &name);
        self.change(Change::Put(file, name), request, &[201])
            .await?;
        self.shared.lock().unwrap().push(file);
        Ok(())
    }

    fn raw(&self, file: &File, name: &str) -> RequestBuilder {
        let request = self.request(Method::POST, "/files");
        request.query(&[("file_name", name)]).body(file.bytes())
    }

    fn put(&self, file: &File, name: &str) -> RequestBuilder {
        let request = self.request(Method::PUT, &format!("/files/{}", file.sha1()));
        request.query(&[("file_name", name)]).body(file.bytes())
    }

    fn form(&self, file: &File, name: &str) -> RequestBuilder {
        let part = Part::bytes(file.bytes()).file_name(name.to_owned());
        let request = self.request(Method::POST, "/files");
        request.multipart(Form::new().part("file", part))
    }

    /// Begins an upload, or goes on with one.
    async fn upload_in_pieces(&mut self, protocol: Protocol) -> Answered<()> {
        let at = self
            .uploads
            .iter()
            .position(|upload| upload.protocol == protocol);
        let Some(at) = at else {
            let file = self.dice.file(1, 5 * PIECE);
            let (name, length) = (self.name(), file.bytes().len());
            let begin = Unfinished::beginning(protocol, &self.client, length, &name);
            let answer = self.ask(self.as_owner(begin)).await?;
            assert_eq!(answer.status, 201, "{}", answer.text());
            self.uploads.push(Unfinished {
                protocol,
                url: answer.header("location").to_owned(),
                file,
                name,
                acknowledged: 0,
                sent: 0,
            });
            return Ok(());
        };
        let upload = &mut self.uploads[at];
        let length = upload.file.bytes().len();
        upload.sent = length.min(upload.acknowledged + 1 + self.dice.below(PIECE));
        let upload = &self.uploads[at];
        let append = upload.appending(&self.client, upload.sent);
        let answer = self.ask(self.as_owner(append)).await;
        self.unanswered += usize::from(answer.is_err());
        let answer = answer?;
        assert!(answer.status.is_success(), "{}", answer.text());
        self.acknowledged += 1;
        self.uploads[at].acknowledged = self.uploads[at].sent;
        if self.uploads[at].sent == length {
            self.keep(at);
        }
        Ok(())
    }

    /// An upload has become a file.
    fn keep(&mut self, at: usize) {
        let Unfinished { file, name, .. } = self.uploads.swap_remove(at);
        self.changed.insert(file.sha1());
        self.files.apply(&Change::Put(file, name));
        self.shared.lock().unwrap().push(file);
    }

    /// Proves to have a content that another owner has.
    async fn claim(&mut self) -> Answered<()> {
        let Some(file) = self.others_file() else {
            return Ok(());
        };
        let (name, bytes, sha1) = (self.name(), file.bytes(), file.sha1());
        let claim = json!({"file_sha1": sha1, "file_size": bytes.len(), "file_name": name});
        let request = self.request(Method::POST, "/claims").json(&claim);
        let answer = self.ask(request).await?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let challenge = answer.json();
        let path = format!("/claims/{}", challenge["id"].as_str().unwrap());
        let proof = json!({"proof": prove(&challenge, &sha1, &bytes)});
        let request = self.request(Method::PUT, &path).json(&proof);
        let change = Change::Put(file, name.clone());
        // The others may have deleted it for good.
        if self.change(change.clone(), request, &[201, 422]).await? == 422 {
            let request = self.raw(&file, &name);
            self.change(change, request, &[201]).await?;
        }
        Ok(())
    }

    async fn bring_what_is_there(&mut self) -> Answered<()> {
        let Some(sha1) = self.any(false) else {
            return Ok(());
        };
        let file = self.files.entries(false).find(|(other, _)| **other == sha1);
        let (file, name) = (file.unwrap().1.file, self.name());
        let request = self.raw(&file, &name);
        self.change(Change::Put(file, name), request, &[200])
            .await?;
        Ok(())
    }

    async fn rename(&mut self) -> Answered<()> {
        let Some(sha1) = self.any(false) else {
            return Ok(());
        };
        let change = Change::Rename(sha1, self.name());
        self.change_again(change, &[200]).await
    }

    async fn delete(&mut self) -> Answered<()> {
        let Some(sha1) = self.any(false) else {
            return Ok(());
        };
        self.change_again(Change::Delete(sha1), &[204]).await
    }

    async fn restore(&mut self) -> Answered<()> {
        let Some(sha1) = self.any(true) else {
            return Ok(());
        };
        self.change_again(Change::Restore(sha1), &[200]).await
    }

    async fn purge(&mut self) -> Answered<()> {
        let is_deleted = self.files.entries(true).next().is_some();
        let Some(sha1) = self.any(is_deleted) else {
            return Ok(());
        };
        self.change_again(Change::Purge(sha1), &[204]).await
    }

    /// Reads a file, or a part of it.
    async fn download(&mut self) -> Answered<()> {
        let Some(sha1) = self.any(false) else {
            return Ok(());
        };
        let entry = self.files.entries(false).find(|(other, _)| **other == sha1);
        let bytes = entry.unwrap().1.file.bytes();
        let start = self.dice.below(2 * bytes.len());
        let request = self.request(Method::GET, &format!("/files/{sha1}/content"));
        if start >= bytes.len() {
            let answer = self.ask(request).await?;
            assert!(
                answer.status == 200 && answer.body == bytes,
                "{sha1}: {}",
                answer.status
            );
            return Ok(());
        }
        let range = format!("bytes={start}-{}", start + self.dice.below(PIECE));
        let answer = self.ask(request.header("range", range)).await?;
        assert_eq!(answer.status, 206, "{}", answer.text());
        assert!(
            bytes[start..].starts_with(&answer.body) && !answer.body.is_empty(),
            "{sha1}"
        );
        Ok(())
    }

    /// The listing has what was acknowledged, and nothing else.
    async fn list(&self) -> Answered<()> {
        let answer = self
            .ask(self.request(Method::GET, "/files?limit=1000"))
            .await?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let listed = answer.json();
        let text = |file: &Value, key: &str| file[key].as_str().unwrap().to_owned();
        let files = listed["files"].as_array().unwrap().iter();
        let mut files: Vec<(String, String)> = files
            .map(|file| (text(file, "file_sha1"), text(file, "file_name")))
            .collect();
        files.sort_unstable();
        let known = self.files.entries(false);
        let known = known.map(|(sha1, entry)| (sha1.to_string(), entry.name.clone()));
        assert_eq!(files, known.collect::<Vec<_>>(), "owner {}", self.number);
        Ok(())
    }

    /// After a kill: what was acknowledged is there, and what got no answer is done or not.
    pub(crate) async fn settle(&mut self) {
        if let Some(change) = self.uncertain.take() {
            let sha1 = change.sha1();
            let name = self.look(&sha1).await;
            let possible = [self.files.name(&sha1), self.files.name_after(&change)];
            assert!(possible.contains(&name.as_deref()), "{change:?}: {name:?}");
            if let (Some(_), Change::Put(file, _)) = (name, &change) {
                self.compare(&sha1, file).await;
            }
            // As every client does that got no answer.
            self.change_again(change, &[200, 201, 204, 404])
                .await
                .unwrap();
        }
        for at in (0..self.uploads.len()).rev() {
            self.settle_upload(at).await;
        }
        self.list().await.unwrap();
        let changed = std::mem::take(&mut self.changed);
        for (sha1, entry) in self.files.entries(false) {
            if changed.contains(sha1) {
                self.compare(sha1, &entry.file).await;
            }
        }
    }

    async fn settle_upload(&mut self, at: usize) {
        let upload = &self.uploads[at];
        let inspected = self.as_owner(upload.inspecting(&self.client));
        let answer = self.ask(inspected).await.unwrap();
        assert!(
            answer.status.is_success(),
            "{}: {}",
            upload.url,
            answer.status
        );
        let offset: usize = answer.header("upload-offset").parse().unwrap();
        assert!(
            (upload.acknowledged..=upload.sent).contains(&offset),
            "{} is at {offset}, and {} bytes were acknowledged, {} sent",
            upload.url,
            upload.acknowledged,
            upload.sent,
        );
        let (file, length) = (upload.file, upload.file.bytes().len());
        self.uploads[at].acknowledged = offset;
        self.uploads[at].sent = offset;
        if offset < length {
            return;
        }
        if self.uploads[at].protocol == Protocol::Draft && answer.header("upload-complete") == "?0"
        {
            let end = self.uploads[at].appending(&self.client, length);
            let answer = self.ask(self.as_owner(end)).await.unwrap();
            assert!(answer.status.is_success(), "{}", answer.text());
        }
        self.compare(&file.sha1(), &file).await;
        self.keep(at);
    }

    /// Asserts that all files are there and whole.
    pub(crate) async fn verify(&self) {
        self.list().await.unwrap();
        for (sha1, entry) in self.files.entries(false) {
            self.compare(sha1, &entry.file).await;
        }
    }

    /// The name of a file, if it is there.
    async fn look(&self, sha1: &Sha1) -> Option<String> {
        let request = self.request(Method::GET, &format!("/files/{sha1}"));
        let answer = self.ask(request).await.unwrap();
        if answer.status == 404 {
            return None;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        Some(answer.json()["file_name"].as_str().unwrap().to_owned())
    }

    async fn compare(&self, sha1: &Sha1, file: &File) {
        let request = self.request(Method::GET, &format!("/files/{sha1}/content"));
        let answer = self.ask(request).await.unwrap();
        assert_eq!(answer.status, 200, "{sha1}: {}", answer.text());
        assert!(answer.body == file.bytes(), "{sha1} has other bytes");
    }

    /// Makes a change by the request that it has.
    async fn change_again(&mut self, change: Change, accepted: &[u16]) -> Answered<()> {
        let path = format!("/files/{}", change.sha1());
        let patching = |patch: Value| {
            self.request(Method::PATCH, &path)
                .header("content-type", "application/merge-patch+json")
                .body(patch.to_string())
        };
        let request = match &change {
            Change::Put(file, name) => self.raw(file, name),
            Change::Rename(_, name) => patching(json!({"file_name": name})),
            Change::Restore(_) => patching(json!({"status": "available"})),
            Change::Delete(_) => self.request(Method::DELETE, &path),
            Change::Purge(_) => self.request(Method::DELETE, &format!("{path}?purge=true")),
        };
        self.change(change, request, accepted).await.map(drop)
    }

    /// Asks for a change, which is made when the answer says so, and uncertain without one.
    async fn change(
        &mut self,
        change: Change,
        request: RequestBuilder,
        accepted: &[u16],
    ) -> Answered<u16> {
        self.uncertain = Some(change);
        let answer = self.ask(request).await;
        self.unanswered += usize::from(answer.is_err());
        let answer = answer?;
        let status = answer.status.as_u16();
        let change = self.uncertain.take().unwrap();
        assert!(
            accepted.contains(&status),
            "{change:?}: {status} {}",
            answer.text()
        );
        if status == 422 {
            return Ok(status);
        }
        self.files.apply(&change);
        self.changed.insert(change.sha1());
        self.acknowledged += 1;
        Ok(status)
    }

    /// Sends a request; an error of the server's tells no more than a broken connection.
    async fn ask(&self, request: RequestBuilder) -> Answered<Answer> {
        match self.client.try_send(request).await {
            Ok(answer) if answer.status.is_server_error() => {
                let (status, text) = (answer.status, answer.text());
                Err(Unanswered(format!("{status}: {text}")))
            }
            Ok(answer) => Ok(answer),
            Err(error) => Err(Unanswered(error.to_string())),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.as_owner(self.client.request(method, path))
    }

    fn as_owner(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("x-owner", format!("owner{}", self.number))
    }

    /// A new file, now and then a large one, or one that another owner has.
    fn some_file(&mut self) -> File {
        match self.dice.below(10) {
            0 => self.dice.file(60_000, 1_500_000),
            1 | 2 => match self.others_file() {
                Some(file) => file,
                None => self.dice.file(1, 60_000),
            },
            _ => self.dice.file(1, 60_000),
        }
    }

    /// A content that another owner has or had, and this one never.
    fn others_file(&mut self) -> Option<File> {
        let shared = self.shared.lock().unwrap();
        if shared.is_empty() {
            return None;
        }
        let file = shared[self.dice.below(shared.len())];
        Some(file).filter(|file| !self.files.knows(&file.sha1()))
    }

    fn any(&mut self, is_deleted: bool) -> Option<Sha1> {
        let candidates = self.files.entries(is_deleted);
        let candidates: Vec<Sha1> = candidates.map(|(sha1, _)| *sha1).collect();
        if candidates.is_empty() {
            return None;
        }
        Some(candidates[self.dice.below(candidates.len())])
    }

    fn name(&mut self) -> String {
        format!("owner{}-{:x}", self.number, self.dice.below(usize::MAX))
    }
}

/// The proof that an owner of these bytes can make.
fn prove(challenge: &Value, sha1: &Sha1, bytes: &[u8]) -> String {
    let nonce = BASE64_STANDARD.decode(challenge["nonce"].as_str().unwrap());
    let nonce: [u8; 32] = nonce.unwrap().try_into().unwrap();
    let id = challenge["id"].as_str().unwrap().parse().unwrap();
    let mut prover = Prover::new(&Nonce::from(nonce), &id, sha1);
    for range in challenge["ranges"].as_array().unwrap() {
        let [offset, length] =
            ["offset", "length"].map(|key| usize::try_from(range[key].as_u64().unwrap()).unwrap());
        prover.update(&bytes[offset..offset + length]);
    }
    prover.finish().to_string()
}
