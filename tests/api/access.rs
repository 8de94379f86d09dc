//! Access: every operation of the contract, with every kind of credentials.
//!
//! The operations come from the contract itself, so none can be forgotten: an operation that has no
//! case here fails the test.

use harness::{Answer, Ceph, Client, Server, TusUpload, digests, on_every_database, unique_text};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::linking::share;

on_every_database! {
    // Processes on other machines cannot use a store on disk.
    alone with &[
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_STORES_ARCHIVE_KIND", "disk"),
        ("FILESERVER_STORES_ARCHIVE_PATH", "archive"),
    ];
    every_operation_is_for_its_owner_with_the_right_scope,
    knowing_every_hash_and_id_gives_no_access,
    only_an_admin_acts_for_others,
}

/// An operation that needs credentials.
struct Operation {
    id: String,
    method: Method,
    template: String,
    scope: String,
}

/// The answer for an owner who does not own the resource.
#[derive(PartialEq)]
enum Foreign {
    /// As if the resource did not exist.
    NotFound,
    /// The operation is about their own resources.
    Own,
}

/// The resources of an owner, new for each operation that is tried.
struct Belongings {
    sha1: String,
    http: String,
    tus: String,
    claim: String,
    transfer: String,
}

fn operations(contract: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (template, item) in contract["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array();
            let security = security.unwrap_or_else(|| panic!("{verb} {template}: for whom?"));
            if let Some(scopes) = security[0].get("bearer") {
                operations.push(Operation {
                    id: operation["operationId"].as_str().unwrap().to_owned(),
                    method: verb.to_uppercase().parse().unwrap(),
                    template: template.clone(),
                    scope: scopes[0].as_str().unwrap().to_owned(),
                });
            }
        }
    }
    assert!(operations.len() > 20);
    operations
}

impl Belongings {
    async fn of(client: &Client) -> Self {
        let (sha1, _) = client.upload_some("mine.txt").await;
        let begun = client.request(Method::POST, "/files?file_name=begun");
        let begun = client
            .send(begun.header("upload-complete", "?0").body("x"))
            .await;
        let claim = json!({"file_sha1": sha1, "file_size": 1, "file_name": "claimed"});
        let claim = client.request(Method::POST, "/claims").json(&claim);
        // Only an admin has one.
        let transfer = client.send(start_transfer(client)).await;
        let transfer = transfer.json()["id"].as_str().map(str::to_owned);
        Self {
            sha1: sha1.to_string(),
            http: begun.header("location").to_owned(),
            tus: TusUpload::begin(client, 2, &[]).await.url,
            claim: client.send(claim).await.header("location").to_owned(),
            transfer: transfer.unwrap_or_else(|| "0".repeat(32)),
        }
    }

    /// Removes the uploads, which would count as leftovers.
    async fn end(&self, client: &Client) {
        for url in [&self.http, &self.tus] {
            client
                .send(TusUpload::request_at(client, Method::DELETE, url))
                .await;
        }
    }

    /// A request that its owner may make, and the answer that another owner gets.
    fn request(&self, client: &Client, operation: &Operation) -> (RequestBuilder, Foreign) {
        let new = unique_text();
        let path = operation.template.replace("{file_sha1}", &self.sha1);
        let path = path.replace("{transfer_id}", &self.transfer);
        let to = |path: &str| {
            let request = client.request(operation.method.clone(), path);
            request.header("tus-resumable", "1.0.0")
        };
        let append = |url: &str, media_type: &str, offset: usize| {
            to(url)
                .header("content-type", media_type)
                .header("upload-offset", offset)
        };
        match operation.id.trim_end_matches("_head") {
            "upload_file" => (to("/files?file_name=a").body(new), Foreign::Own),
            "put_file" => {
                let sha1 = digests(new.as_bytes()).sha1;
                (
                    to(&format!("/files/{sha1}?file_name=a")).body(new),
                    Foreign::Own,
                )
            }
            "list_files" | "list_uploads" | "read_usage" | "read_metrics" | "list_transfers"
            | "find_transfer" | "cancel_transfer" => (to(&path), Foreign::Own),
            "start_transfer" => (start_transfer(client), Foreign::Own),
            "find_file" | "download_file" | "remove_file" | "unshare_file" => {
                (to(&path), Foreign::NotFound)
            }
            "update_file" => (
                to(&path).json(&json!({"file_name": "renamed"})),
                Foreign::NotFound,
            ),
            "share_file" => (
                to(&path).json(&json!({"expires_in": 60})),
                Foreign::NotFound,
            ),
            "inspect_upload" | "remove_upload" => (to(&self.http), Foreign::NotFound),
            "append_upload" => {
                let request = append(&self.http, "application/partial-upload", 1);
                (
                    request.header("upload-complete", "?1").body("y"),
                    Foreign::NotFound,
                )
            }
            "create_tus_upload" => (to("/tus").header("upload-length", 0), Foreign::Own),
            "inspect_tus_upload" | "remove_tus_upload" => (to(&self.tus), Foreign::NotFound),
            "append_tus_upload" => {
                let request = append(&self.tus, "application/offset+octet-stream", 0);
                (request.body(new[..2].to_owned()), Foreign::NotFound)
            }
            "claim_file" => {
                let sha1 = digests(new.as_bytes()).sha1;
                let claim = json!({"file_sha1": sha1, "file_size": 1, "file_name": "a"});
                (to("/claims").json(&claim), Foreign::Own)
            }
            "prove_claim" => (
                to(&self.claim).json(&json!({"proof": "0".repeat(64)})),
                Foreign::NotFound,
            ),
            other => panic!("who may use {other}? say it here"),
        }
    }
}

/// The problem's type, also of answers to `HEAD`, which have no body.
fn is_problem(answer: &Answer, operation: &Operation, status: u16, kind: &str) {
    let id = &operation.id;
    assert_eq!(answer.status, status, "{id}: {}", answer.text());
    if operation.method != Method::HEAD {
        answer.problem(status, kind);
    }
}

/// Begins a transfer that would take years.
fn start_transfer(client: &Client) -> RequestBuilder {
    let from = if Ceph::is_primary() { "ceph" } else { "disk" };
    let wanted = json!({"from": from, "to": "archive", "rate": 1});
    client.request(Method::POST, "/transfers").json(&wanted)
}

async fn send(client: &Client, (request, _): (RequestBuilder, Foreign)) -> Answer {
    client.try_send(request).await.unwrap()
}

/// All scopes but one.
fn all_but(scope: &str) -> String {
    let all = ["files:read", "files:write", "metrics:read", "admin"];
    let others = all.into_iter().filter(|other| *other != scope);
    others.collect::<Vec<_>>().join(",")
}

async fn every_operation_is_for_its_owner_with_the_right_scope(server: &Server) {
    let stranger = server.client();
    let operations = operations(&stranger.get("/openapi.json").await.json());
    for scope in ["files:read", "files:write", "metrics:read", "admin"] {
        let all = if scope == "admin" { "" } else { "admin" };
        let all = all_but(all);
        let alice = stranger.with_token(&server.token("alice", &all));
        let bob = stranger.with_token(&server.token("bob", &all));
        let lacking = stranger.with_token(&server.token("alice", &all_but(scope)));
        for operation in operations
            .iter()
            .filter(|operation| operation.scope == scope)
        {
            let id = &operation.id;
            let own = Belongings::of(&alice).await;

            let answer = send(stranger, own.request(stranger, operation)).await;
            is_problem(&answer, operation, 401, "missing-credentials");
            assert_eq!(
                answer.header("www-authenticate"),
                "Bearer realm=\"fileserver\""
            );

            let forged = stranger.with_token("fst_AAAA");
            let answer = send(&forged, own.request(&forged, operation)).await;
            is_problem(&answer, operation, 401, "invalid-credentials");
            let challenge = answer.header("www-authenticate");
            assert!(
                challenge.contains("error=\"invalid_token\""),
                "{id}: {challenge}"
            );

            let answer = send(&lacking, own.request(&lacking, operation)).await;
            is_problem(&answer, operation, 403, "insufficient-scope");
            let challenge = answer.header("www-authenticate");
            assert!(
                challenge.contains(&format!("scope=\"{scope}\"")),
                "{id}: {challenge}"
            );

            let (request, foreign) = own.request(&bob, operation);
            let answer = bob.try_send(request).await.unwrap();
            if foreign == Foreign::NotFound {
                assert_eq!(answer.status, 404, "{id}: {}", answer.text());
            } else if id == "cancel_transfer" {
                // Admins act for all owners.
                assert_eq!(answer.status, 204, "{id}: {}", answer.text());
                own.end(&alice).await;
                continue;
            } else {
                assert!(answer.status.is_success(), "{id}: {}", answer.text());
                assert!(
                    !answer.text().contains(&own.sha1),
                    "{id}: {}",
                    answer.text()
                );
            }

            let answer = send(&alice, own.request(&alice, operation)).await;
            // Only the claim's owner learns that a proof is wrong.
            let is_done = answer.status.is_success() || id == "prove_claim" && answer.status == 422;
            assert!(is_done, "{id}: {} {}", answer.status, answer.text());
            own.end(&alice).await;
        }
    }
}

async fn knowing_every_hash_and_id_gives_no_access(server: &Server) {
    let alice = server.client_of("alice");
    let (sha1, bytes) = alice.upload_some("secret.txt").await;
    let link = alice.send(share(&alice, &sha1.to_string())).await.json();
    let mallory = server.client_of("mallory");
    // Resources that exist and those that do not get the same answers.
    let absent = digests(unique_text().as_bytes()).sha1;
    for path in ["", "/content", "?status=deleted"] {
        let [there, not_there] = [sha1, absent].map(|sha1| format!("/files/{sha1}{path}"));
        let (there, not_there) = (mallory.get(&there).await, mallory.get(&not_there).await);
        assert_eq!(there.status, not_there.status, "{path}");
        assert_eq!(there.body, not_there.body, "{path}");
    }
    assert!(
        mallory
            .list_all(&format!("file_sha1={sha1}"))
            .await
            .is_empty()
    );
    mallory.delete(&sha1).await.problem(404, "not-found");
    let restore = json!({"status": "available"});
    mallory
        .patch(&sha1, &restore)
        .await
        .problem(404, "not-found");
    mallory
        .send(share(&mallory, &sha1.to_string()))
        .await
        .problem(404, "not-found");
    // A SHA-1 in the metadata is no proof that the owner has the content.
    let creation = TusUpload::request_at(&mallory, Method::POST, "/tus");
    let metadata = format!("sha1 {}", base64(&sha1.to_string()));
    let creation = creation
        .header("upload-length", bytes.len())
        .header("upload-metadata", metadata);
    let begun = mallory.send(creation).await;
    assert_eq!(begun.header("upload-offset"), "0");
    let upload = TusUpload::at(&mallory, begun.header("location"));
    upload.remove().await;
    // An owner may delete their own.
    assert_eq!(mallory.upload("mine.txt", bytes.clone()).await.status, 201);
    assert_eq!(mallory.delete(&sha1).await.status, 204);
    let content = alice.get(&format!("/files/{sha1}/content")).await;
    assert_eq!(content.body, bytes);
    let url = link["url"].as_str().unwrap();
    assert_eq!(server.client().get(url).await.body, bytes);
    assert_eq!(alice.list_all("").await[0].file_name.as_str(), "secret.txt");
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

async fn only_an_admin_acts_for_others(server: &Server) {
    let alice = server.client_of("alice");
    let (sha1, _) = alice.upload_some("hers.txt").await;
    let everything = "files:read,files:write,metrics:read,admin";
    let root = server
        .client()
        .with_token(&server.token("root", everything));
    let path = format!("/files/{sha1}");
    root.get(&path).await.problem(404, "not-found");
    let for_alice = root.request(Method::GET, &path).header("x-owner", "alice");
    assert_eq!(
        root.send(for_alice).await.meta().file_name.as_str(),
        "hers.txt"
    );
    let spoofed = alice.request(Method::GET, &path).header("x-owner", "alice");
    alice.send(spoofed).await.problem(403, "insufficient-scope");
    let twice = root.request(Method::GET, &path);
    let twice = twice.header("x-owner", "alice").header("x-owner", "bob");
    root.send(twice).await.problem(400, "invalid-header");
    // Every operation has a case without credentials.
    let operations = operations(&root.get("/openapi.json").await.json());
    let own = Belongings::of(&alice).await;
    for operation in &operations {
        let (request, _) = own.request(&root, operation);
        let answer = root.try_send(request.header("x-owner", "")).await.unwrap();
        is_problem(&answer, operation, 400, "invalid-header");
    }
    // The log has the admin, and the owner for whom they acted.
    let log = server.log();
    let line = log.lines().find(|line| {
        line.contains("\"owner\":\"alice\"") && line.contains("\"operation\":\"find_file\"")
    });
    let line: Value = serde_json::from_str(line.unwrap()).unwrap();
    let actor = line["actor"].as_str().unwrap();
    let listed = server.command(&["token", "list", "--owner", "root", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(actor, format!("token:{}", listed["id"].as_str().unwrap()));
    own.end(&alice).await;
}
