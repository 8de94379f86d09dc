//! The protocols' sentences, each with requests and the answers that it demands.
//!
//! The tables in `conformance/` read like this:
//!
//! ```text
//! == a sentence of the specification
//! PATCH {upload}
//!   Upload-Offset: 3        a field of the request
//!   | text                  its body; `|chunked text` for one whose length is not announced
//! 409                       what is expected of the answer: its status,
//!   Upload-Offset: 0        a field (`*` for any value, `~ part` for one that has a part),
//!   - Location              a field that is not there,
//!   Location => upload      a field whose value is used later,
//!   | text                  a part of its body
//! sql UPDATE ...            a change that nobody makes from outside
//! ```
//!
//! `Tus-Resumable: 1.0.0` is sent along to `/tus`, unless a request has that field; `-` sends
//! none. `{sha1:text}`, `{base64:text}` and the like are computed.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use harness::{Answer, Ceph, Server, digests, on_every_database, pieces};
use reqwest::{Method, RequestBuilder};

on_every_database! {
    tus,
    resumable_uploads_for_http,
    claims,
}

async fn tus(server: &Server) {
    check(server, include_str!("conformance/tus.txt")).await;
}

async fn resumable_uploads_for_http(server: &Server) {
    check(server, include_str!("conformance/http.txt")).await;
}

async fn claims(server: &Server) {
    check(server, include_str!("conformance/claims.txt")).await;
}

/// Runs a table; every sentence stands for itself.
async fn check(server: &Server, table: &str) {
    let sentences: Vec<&str> = table.split("\n== ").skip(1).collect();
    assert!(sentences.len() >= 5, "the table was read");
    for sentence in sentences {
        let (says, steps) = sentence.split_once('\n').unwrap();
        Conversation {
            server,
            says,
            values: HashMap::new(),
            answer: None,
            request: None,
        }
        .run(steps)
        .await;
    }
    // The tables give files to others behind the service's back.
    assert!(server.command(&["quota", "recount"]).status.success());
}

struct Conversation<'a> {
    server: &'a Server,
    says: &'a str,
    values: HashMap<String, String>,
    /// The request that is being built.
    request: Option<RequestBuilder>,
    answer: Option<Answer>,
}

impl Conversation<'_> {
    async fn run(mut self, steps: &str) {
        let announced = steps
            .lines()
            .filter_map(|line| line.split_once("-Length: "));
        let most = announced.filter_map(|(_, length)| length.parse::<u64>().ok());
        if Ceph::is_primary() && most.max() > Some(83_886_080_000) {
            // That is more than a bucket takes with parts of this size, and is refused as such.
            return;
        }
        for line in steps.lines().filter(|line| !line.trim().is_empty()) {
            let line = self.fill_in(line);
            match line.strip_prefix("  ") {
                Some(detail) if self.request.is_some() => self.send_along(detail),
                Some(detail) => self.expect(detail),
                None => self.step(&line).await,
            }
        }
        assert!(self.request.is_none(), "{}: nothing is expected", self.says);
    }

    async fn step(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "sql" {
            let _ = self.server.database().sql(rest);
        } else if word == "wait" {
            tokio::time::sleep(Duration::from_millis(rest.parse().unwrap())).await;
        } else if let Ok(status) = word.parse::<u16>() {
            let request = self
                .request
                .take()
                .expect("a request comes before its answer");
            let answer = self.server.client().send(with_version(request)).await;
            let said = format!("{:?} {}", answer.headers, answer.text());
            assert_eq!(answer.status, status, "{}: {line}: {said}", self.says);
            self.answer = Some(answer);
        } else {
            assert!(self.request.is_none(), "{}: {line}", self.says);
            let method: Method = word.parse().unwrap();
            self.request = Some(self.server.client().request(method, rest));
        }
    }

    fn send_along(&mut self, detail: &str) {
        let request = self.request.take().unwrap();
        self.request = Some(if let Some(body) = detail.strip_prefix("|chunked ") {
            let body = Bytes::from(body.to_owned());
            request.body(pieces([body, Bytes::new()]))
        } else if let Some(body) = detail.strip_prefix("| ") {
            request.body(body.to_owned())
        } else {
            let (name, value) = detail.split_once(": ").unwrap();
            request.header(name, value)
        });
    }

    fn expect(&mut self, detail: &str) {
        // A bucket has a largest object, a disk does not.
        let with_limit = detail.replace("min-size=0", "max-size=83886080000");
        let detail = match detail {
            "- Tus-Max-Size" if Ceph::is_primary() => return,
            _ if Ceph::is_primary() => &with_limit,
            detail => detail,
        };
        let answer = self.answer.as_ref().expect("an answer came");
        let context = format!("{}: {detail}: {:?}", self.says, answer.headers);
        if let Some(text) = detail.strip_prefix("| ") {
            assert!(answer.text().contains(text), "{context} {}", answer.text());
        } else if let Some(name) = detail.strip_prefix("- ") {
            assert!(!answer.headers.contains_key(name), "{context}");
        } else if let Some((name, variable)) = detail.split_once(" => ") {
            let value = answer.header(name).to_owned();
            assert!(!value.is_empty(), "{context}");
            if let Some((_, id)) = value.rsplit_once('/') {
                self.values.insert(format!("{variable}.id"), id.to_owned());
            }
            self.values.insert(variable.to_owned(), value);
        } else {
            let (name, expected) = detail.split_once(": ").unwrap();
            assert!(answer.headers.contains_key(name), "{context}");
            let value = answer.header(name);
            match expected.strip_prefix("~ ") {
                _ if expected == "*" => {}
                Some(part) => assert!(value.contains(part), "{context}"),
                None => assert_eq!(value, expected, "{context}"),
            }
        }
    }

    /// Puts values in place of what stands in braces.
    fn fill_in(&self, line: &str) -> String {
        let mut filled = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_name(name))
            else {
                filled.push_str(before);
                filled.push('{');
                rest = after;
                continue;
            };
            filled.push_str(before);
            filled.push_str(&self.value(name));
            rest = after;
        }
        filled + rest
    }

    fn value(&self, name: &str) -> String {
        let (function, text) = name.split_once(':').unwrap_or(("", name));
        match function {
            "base64" => BASE64_STANDARD.encode(text),
            "sha1" => digests(text.as_bytes()).sha1.to_string(),
            "sha256" => digests(text.as_bytes()).sha256.to_string(),
            "base64sha1" => BASE64_STANDARD.encode(digests(text.as_bytes()).sha1.to_string()),
            "base64sha256" => BASE64_STANDARD.encode(digests(text.as_bytes()).sha256.to_string()),
            "rawsha1" => BASE64_STANDARD.encode(digests(text.as_bytes()).sha1.as_bytes()),
            "rawsha256" => BASE64_STANDARD.encode(digests(text.as_bytes()).sha256.as_bytes()),
            "repeat" => {
                let (count, text) = text.split_once(':').unwrap();
                text.repeat(count.parse().unwrap())
            }
            _ => self
                .values
                .get(name)
                .unwrap_or_else(|| panic!("{}: {name}", self.says))
                .clone(),
        }
    }
}

/// Adds the version that every request to `/tus` has, and takes away what is not to be sent.
fn with_version(request: RequestBuilder) -> RequestBuilder {
    let (http, request) = request.build_split();
    let mut request = request.unwrap();
    let is_tus = request.url().path().starts_with("/tus");
    let headers = request.headers_mut();
    match headers.get("tus-resumable").map(|value| value == "-") {
        Some(true) => drop(headers.remove("tus-resumable")),
        None if is_tus => drop(headers.insert("tus-resumable", "1.0.0".parse().unwrap())),
        _ => {}
    }
    RequestBuilder::from_parts(http, request)
}

/// JSON has braces, too.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(['"', '{'])
        && text.starts_with(|c: char| c.is_ascii_lowercase())
}
