//! Processes with different roles.

use std::process::Command;

use harness::{
    Client, Kind, Nginx, Replica, Server, TusUpload, UNLIMITED, binary, digests, unique_text,
};
use reqwest::Method;
use serde_json::Value;

use crate::linking::share;

const ROLES: [&str; 4] = ["api", "upload", "download", "worker"];

/// An operation of the contract.
struct Operation {
    id: String,
    method: Method,
    path: String,
    role: String,
}

/// All operations, with ids of nothing in their paths.
async fn operations(client: &Client) -> Vec<Operation> {
    let contract = client.get("/openapi.json").await.json();
    let mut operations = Vec::new();
    let nothing = "0".repeat(32);
    for (template, item) in contract["paths"].as_object().unwrap() {
        let path = template.replace("{file_sha1}", &"0".repeat(40));
        let path = path.replace("{token}", &"0".repeat(43));
        let segments = path.split('/').map(|segment| {
            let is_id = segment.starts_with('{');
            if is_id { nothing.as_str() } else { segment }
        });
        let path = segments.collect::<Vec<_>>().join("/");
        for (verb, operation) in item.as_object().unwrap() {
            operations.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: verb.to_uppercase().parse().unwrap(),
                path: path.clone(),
                role: operation["x-role"].as_str().unwrap().to_owned(),
            });
        }
    }
    assert!(operations.len() > 40);
    operations
}

#[tokio::test]
async fn every_operation_is_answered_by_those_who_have_its_role() {
    for role in ROLES {
        let server = Server::start(Kind::Sqlite, &[("FILESERVER_ROLE", role)]).await;
        let client = server.client();
        for operation in operations(client).await {
            let Operation { id, method, .. } = &operation;
            let request = client.request(method.clone(), &operation.path);
            let request = request.header("tus-resumable", "1.0.0");
            let answer = client.try_send(request).await.unwrap();
            let is_other = operation.role != "any" && operation.role != role;
            assert_eq!(answer.status == 421, is_other, "{id} of {role}");
            if is_other && *method != Method::HEAD {
                let detail = answer.problem(421, "misdirected");
                assert!(detail.contains(&operation.role), "{id}: {detail}");
            }
        }
        for page in ["/swagger-ui/", "/healthz", "/readyz"] {
            let page = client.request(Method::GET, page).send().await.unwrap();
            assert_eq!(page.status(), 200);
        }
        let metrics = client.get("/metrics").await.text();
        let works = metrics.contains("fileserver_lease_held{lease=\"housekeeping\"}");
        assert_eq!(works, role == "worker", "{metrics}");
        server.finish().await;
    }
}

#[tokio::test]
async fn an_operation_has_the_role_that_is_expected_of_it() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let operations = operations(server.client()).await;
    let of = |id: &str| {
        let found = operations.iter().find(|operation| operation.id == id);
        found.unwrap().role.as_str()
    };
    for id in ["upload_file", "put_file", "append_upload", "claim_file"] {
        assert_eq!(of(id), "upload", "{id}");
    }
    for id in [
        "create_tus_upload",
        "append_tus_upload",
        "inspect_tus_upload",
    ] {
        assert_eq!(of(id), "upload", "{id}");
    }
    for id in ["download_file", "download_file_head", "follow_link"] {
        assert_eq!(of(id), "download", "{id}");
    }
    for id in ["list_files", "find_file", "update_file", "share_file"] {
        assert_eq!(of(id), "api", "{id}");
    }
    for id in ["check_health", "check_readiness", "read_metrics"] {
        assert_eq!(of(id), "any", "{id}");
    }
    server.finish().await;
}

#[tokio::test]
async fn nginx_sends_each_request_to_who_has_its_role() {
    let server = Server::start(Kind::Sqlite, &[("FILESERVER_ROLE", "api,worker")]).await;
    let data = ("FILESERVER_DATA_DIR", server.data().to_str().unwrap());
    let uploads = Replica::of(&server, &[("FILESERVER_ROLE", "upload"), data]).await;
    let downloads = Replica::of(&server, &[("FILESERVER_ROLE", "download"), data]).await;
    let settings = [
        ("PROXY_UPLOADS", uploads.address()),
        ("PROXY_DOWNLOADS", downloads.address()),
    ];
    let settings = [&UNLIMITED[..], &settings].concat();
    let nginx = Nginx::before(&server, &settings).await;
    let client = &server.client().by_way_of(nginx.base());
    for operation in operations(server.client()).await {
        let request = client.request(operation.method, &operation.path);
        let request = request.header("tus-resumable", "1.0.0");
        let answer = client.try_send(request).await.unwrap();
        assert_ne!(answer.status, 421, "{}", operation.id);
    }
    // Not each could have answered.
    let direct = server.client().upload("a.txt", "a").await;
    direct.problem(421, "misdirected");

    let (sha1, bytes) = client.upload_some("a.txt").await;
    let put = unique_text();
    let path = format!("/files/{}?file_name=b", digests(put.as_bytes()).sha1);
    let put = client.request(Method::PUT, &path).body(put);
    assert_eq!(client.send(put).await.status, 201);
    let upload = TusUpload::begin(client, 6, &[]).await;
    assert_eq!(upload.append(0, "abcdef").await.status, 204);
    let content = client.get(&format!("/files/{sha1}/content")).await;
    assert_eq!(content.body, bytes);
    let link = client.send(share(client, &sha1.to_string())).await.json();
    let linked = client.get(link["url"].as_str().unwrap()).await;
    assert_eq!(linked.body, bytes);
    assert_eq!(client.list_all("").await.len(), 3);
    assert_eq!(client.delete(&sha1).await.status, 204);
    drop((nginx, uploads, downloads));
    server.finish().await;
}

#[test]
fn roles_that_contradict_or_are_none_stop_the_start() {
    let refused = |settings: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary());
        command.arg("serve").current_dir(folder.path());
        command.envs(settings.iter().copied());
        let output = command.env("FILESERVER_LISTEN", "127.0.0.1:0").output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let both = [
        ("FILESERVER_ROLE", "api,worker"),
        ("FILESERVER_NO_WORKER", "true"),
    ];
    let said = refused(&both);
    assert!(said.contains("no_worker"), "{said}");
    let said = refused(&[("FILESERVER_ROLE", "api,uploads")]);
    assert!(
        said.contains("uploads") && said.contains("download"),
        "{said}"
    );
    let contract: Value = serde_json::from_slice(
        &Command::new(binary())
            .args(["openapi", "--json"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    assert!(contract["paths"]["/files"]["post"]["x-role"] == "upload");
}
