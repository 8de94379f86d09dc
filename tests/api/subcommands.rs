//! The binary's subcommands and settings.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use harness::{Kind, Server, binary, random};
use serde_json::Value;
use tokio::time::sleep;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.current_dir(folder.path()).args(arguments);
    command.envs(environment.iter().copied()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn findings(server: &Server, arguments: &[&str]) -> (i32, Vec<Value>) {
    let output = server.command(&[&["check", "--json"], arguments].concat());
    let report = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = report
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let sums = lines.pop().unwrap();
    assert_eq!(sums["findings"], lines.len());
    (output.status.code().unwrap(), lines)
}

#[tokio::test]
async fn check_finds_what_does_not_fit() {
    for kind in [Kind::Sqlite, Kind::MariaDb, Kind::Postgres] {
        let server = Server::start(kind, &[]).await;
        let client = server.client();
        for size in [0, 10, 20, 30, 700_000] {
            client.upload_raw("a.bin", random(size)).await;
        }
        assert_eq!(findings(&server, &[]), (0, vec![]));
        let mut objects = server.objects();
        objects.sort_by_key(|object| fs::metadata(object).unwrap().len());
        let [empty, missing, short, changed, large] = objects.try_into().unwrap();

        fs::remove_file(&missing).unwrap();
        fs::write(&short, random(19)).unwrap();
        let folder = empty.parent().unwrap();
        let name = empty.file_name().unwrap().to_str().unwrap();
        let orphan = folder.join(format!("{}-{}", &name[..40], "0".repeat(32)));
        fs::copy(&empty, &orphan).unwrap();
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        let (exit, mut found) = findings(&server, &[]);
        assert_eq!(exit, 1);
        found.sort_by_key(|finding| finding["finding"].as_str().unwrap().to_owned());
        let kinds: Vec<_> = found.iter().map(|finding| &finding["finding"]).collect();
        assert_eq!(kinds, ["bytes_missing", "orphan", "stray", "wrong_size"]);
        assert_eq!(
            (&found[3]["expected"], &found[3]["found"]),
            (&20.into(), &19.into())
        );

        let mut bytes = fs::read(&large).unwrap();
        bytes[600_000] ^= 1;
        fs::write(&large, bytes).unwrap();
        fs::write(&changed, random(30)).unwrap();
        assert_eq!(findings(&server, &[]).1.len(), 4, "sizes alone do not tell");
        let (_, found) = findings(&server, &["--digests"]);
        let wrong = found
            .iter()
            .filter(|finding| finding["finding"] == "wrong_digests");
        assert_eq!(wrong.count(), 2);

        let sha1 = &name[..40];
        let table = format!("tbl_{}", &sha1[38..]);
        let _ = server
            .database()
            .sql(&format!("UPDATE {table} SET file_addr = 'disk:../x'"));
        let (_, found) = findings(&server, &["--digests"]);
        let missing = found
            .iter()
            .filter(|finding| finding["finding"] == "bytes_missing");
        assert!(
            missing.count() >= 2,
            "an address that is none does not end the check"
        );
        let _ = server
            .database()
            .sql(&format!("DELETE FROM tbl_{}", &sha1[38..]));
        let (_, found) = findings(&server, &[]);
        let lost = found
            .iter()
            .find(|finding| finding["finding"] == "content_missing");
        assert_eq!(lost.unwrap()["file_sha1"], sha1);

        let for_people = server.command(&["check"]);
        let report = String::from_utf8_lossy(&for_people.stdout).into_owned();
        assert!(report.contains("no row points at disk:"), "{report}");
        server.stop().await;
    }
}

#[tokio::test]
async fn the_schema_is_changed_step_by_step() {
    for kind in [Kind::Sqlite, Kind::MariaDb, Kind::Postgres] {
        let server = Server::start(kind, &[]).await;
        server.client().upload_some("a.txt").await;
        let refusal = |arguments: &[&str]| {
            let output = server.command(&[&["migrate", "down"], arguments].concat());
            assert_eq!(output.status.code(), Some(2));
            said(&output)
        };
        let refused = refusal(&[]);
        assert!(
            refused.contains("another process uses the database"),
            "{refused}"
        );
        server.client().upload_some("b.txt").await;
        server.stop().await;
        let refused = refusal(&["--steps", "8"]);
        assert!(refused.contains("tables would be lost"), "{refused}");
        assert!(!refused.contains("another process"), "{refused}");
        let status = || {
            let output = server.command(&["migrate", "status"]);
            assert!(output.status.success(), "{}", said(&output));
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(
            status().lines().all(|line| line.ends_with("\ttaken")),
            "{}",
            status()
        );
        assert!(server.command(&["migrate", "down"]).status.success());
        assert!(status().lines().last().unwrap().ends_with("\tmissing"));
        let refused = server.command(&["serve", "--no-migrate"]);
        assert!(
            said(&refused).contains("fileserver migrate up"),
            "{}",
            said(&refused)
        );
        let refused = server.command(&["check"]);
        assert_eq!(refused.status.code(), Some(2), "a check changes nothing");
        assert!(server.command(&["migrate", "up"]).status.success());
        assert!(status().lines().all(|line| line.ends_with("\ttaken")));
        server.restart().await;
        assert_eq!(server.client().list_all("").await.len(), 2);
        server.finish().await;
    }
}

#[tokio::test]
async fn a_schema_is_taken_back_with_its_data_if_that_is_said() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    server.client().upload_some("a.txt").await;
    server.stop().await;
    let all = ["migrate", "down", "--steps", "8", "--lose-data"];
    assert!(server.command(&all).status.success());
    assert!(server.command(&["migrate", "up"]).status.success());
    // The bytes are those of another database now.
    let refused = server.command(&["check"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("--adopt"), "{}", said(&refused));
    let remove = ["check", "--adopt", "--remove-orphans", "--orphan-age", "0"];
    let removed = server.command(&remove);
    assert!(removed.status.success(), "{}", said(&removed));
    server.restart().await;
    assert_eq!(server.client().list_all("").await.len(), 0);
    server.finish().await;
}

#[test]
fn settings_that_are_wrong_stop_the_start_in_one_clear_line() {
    for (arguments, environment, expected) in [
        (
            vec!["serve", "--listen", "everywhere"],
            vec![],
            "everywhere",
        ),
        (
            vec!["serve", "--listen", "0.0.0.0:0"],
            vec![],
            "without authentication",
        ),
        (vec!["serve", "--lisen", "x"], vec![], "--lisen"),
        (
            vec!["serve"],
            vec![("FILESERVER_LISEN", "x")],
            "FILESERVER_LISEN",
        ),
        (
            vec!["serve"],
            vec![("FILESERVER_MAX_UPLOAD_SIZE", "big")],
            "big",
        ),
        (
            vec!["serve"],
            vec![("FILESERVER_DATABASE_URL", "oracle://me:secret@x")],
            "must start with",
        ),
        (
            vec!["serve"],
            vec![("FILESERVER_DATABASE_URL", "env:NOT_SET")],
            "NOT_SET",
        ),
        (
            vec!["serve"],
            vec![("FILESERVER_CURSOR_KEY", "secret")],
            "cursor key",
        ),
        (
            vec!["serve"],
            vec![("FILESERVER_CONFIG", "/nowhere.toml")],
            "/nowhere.toml",
        ),
        (
            vec!["serve", "--tls-certificate", "a.pem"],
            vec![],
            "set `tls_key`",
        ),
        (
            vec!["serve", "--tls-key", "a.pem"],
            vec![],
            "set `tls_certificate`",
        ),
        (
            vec!["serve"],
            vec![(
                "FILESERVER_DATABASE_URL",
                "mysql://me:secret#/?s3cr@127.0.0.1:1/x",
            )],
            "mysql://127.0.0.1:1: its URL is malformed",
        ),
        (
            vec!["serve", "--cors-origins", "*"],
            vec![],
            "without authentication",
        ),
        (
            vec!["serve", "--cors-origins", "http://localhost:3000/"],
            vec![],
            "http://localhost:3000",
        ),
        (
            vec!["serve", "--listen", ":0"],
            vec![],
            "without authentication",
        ),
        (vec!["serve"], vec![("FILESERVER_LOG", "a=b=c")], "filter"),
        (vec!["serve"], vec![("FILESERVER_AUTH", "magic")], "none"),
        (
            vec!["serve", "--data-dir", "/proc/nowhere"],
            vec![],
            "/proc/nowhere",
        ),
    ] {
        let output = run(&arguments, &environment);
        let said = said(&output);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?} {environment:?}: {said}"
        );
        assert!(
            said.contains(expected),
            "{arguments:?} {environment:?}: {said}"
        );
        assert!(!said.contains("secret"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn what_looks_at_a_service_makes_no_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for command in [
        &["token", "list"][..],
        &["quota", "show"],
        &["check"],
        &["worker", "dead"],
        &["worker", "requeue"],
    ] {
        let output = Command::new(binary())
            .args(command)
            .arg("--data-dir")
            .arg(&data)
            .output()
            .unwrap();
        let said = said(&output);
        assert!(!output.status.success(), "{command:?}: {said}");
        assert!(said.contains("does not exist"), "{command:?}: {said}");
        assert!(!data.exists(), "{command:?}");
    }
}

#[test]
fn help_explains_each_setting_and_shows_no_secret() {
    let secrets = [("FILESERVER_DATABASE_URL", "mysql://me:hunter2@x/y")];
    for arguments in [vec!["--help"], vec!["serve", "--help"]] {
        let output = run(&arguments, &secrets);
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success());
        for setting in [
            "FILESERVER_LISTEN",
            "FILESERVER_DATA_DIR",
            "FILESERVER_MAX_UPLOAD_SIZE",
        ] {
            assert!(help.contains(setting), "{help}");
        }
        assert!(!help.contains("hunter2"), "{help}");
    }
}

#[tokio::test]
async fn settings_may_stand_in_a_file_and_secrets_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, format!("{}\n", "ab".repeat(32))).unwrap();
    let settings = folder.path().join("settings.toml");
    let text = format!(
        "max_upload_size = 3\ncursor_key = \"file:{}\"\n",
        key.display()
    );
    fs::write(&settings, text).unwrap();
    let config = ("FILESERVER_CONFIG", settings.to_str().unwrap());
    let server = Server::start(Kind::Sqlite, &[config]).await;
    let client = server.client();
    client
        .upload_raw("a", "abcd")
        .await
        .problem(413, "too-large");
    assert_eq!(client.upload_raw("a", "abc").await.status, 201);
    assert!(
        !server.data().join("cursor.key").exists(),
        "the key was given"
    );
    server.finish().await;

    fs::write(&settings, "max_upload_sise = 3").unwrap();
    let refused = run(&["serve"], &[config]);
    assert!(
        said(&refused).contains("max_upload_sise"),
        "{}",
        said(&refused)
    );
}

#[tokio::test]
async fn a_cursor_outlives_a_restart() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let client = server.client();
    for name in ["a", "b"] {
        client.upload_some(name).await;
    }
    let page = client.get("/files?limit=1").await.json();
    let cursor = page["next"].as_str().unwrap();
    server.kill().await;
    server.restart().await;
    let rest = client.get(&format!("/files?cursor={cursor}")).await.json();
    assert_eq!(rest["files"][0]["file_name"], "a");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_whether_the_service_runs_and_can_do_its_work() {
    let (server, proxy) = Server::start_behind_proxy(Kind::Postgres).await;
    let address = server.address().await;
    let health = |arguments: &[&str]| {
        let output = server.command(&[&["health", "--at", &address], arguments].concat());
        (output.status.code().unwrap(), said(&output))
    };
    let well = (0, String::new());
    assert_eq!(health(&[]), well);
    assert_eq!(health(&["--ready"]), well);
    proxy.cut();
    // What a probe found is reported for a second.
    sleep(Duration::from_millis(1100)).await;
    let (exit, reason) = health(&["--ready"]);
    assert_eq!(exit, 1);
    assert!(reason.contains("/readyz: 503"), "{reason}");
    assert_eq!(health(&[]), well);
    proxy.mend();
    server.kill().await;
    let (exit, reason) = health(&[]);
    assert_eq!(exit, 1);
    assert!(reason.contains("refused"), "{reason}");
    server.restart().await;
    server.finish().await;
}

#[test]
fn health_does_not_wait_for_ever() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    // It may have to be built first.
    binary();
    let begun = std::time::Instant::now();
    let output = run(&["health"], &[("FILESERVER_LISTEN", &address)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("timed out"), "{}", said(&output));
    assert!(begun.elapsed().as_secs() < 10);
}

#[test]
fn the_contract_is_printed_without_a_database() {
    let printed = run(&["openapi"], &[]);
    let checked_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.yaml");
    assert_eq!(
        String::from_utf8(printed.stdout).unwrap(),
        fs::read_to_string(checked_in).unwrap()
    );
    let printed = run(&["openapi", "--json"], &[]);
    let contract: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert!(contract["paths"]["/files"].is_object());
}
