//! A power failure: bytes that had not reached the disk are not counted, and no others are stored.
//!
//! The disk is an ext4 of the test's own, which is shut down as it is, by an ioctl that is there
//! for such tests, and mounted anew. Of the machine's other boot only its mark can be imitated.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{Client, Kind, Server, TusUpload, digests, program, random, require};
use reqwest::Method;
use tempfile::TempDir;

/// The place of the boot's mark in an upload's state file.
const BOOT_AT: usize = 18;

/// A disk whose power can be cut.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn new() -> Self {
        require("root, to mount a disk");
        let folder = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
        let disk = Self { folder };
        fs::create_dir(disk.path()).unwrap();
        let image = disk.image();
        run("truncate", &["-s", "200M", image.to_str().unwrap()]);
        run("mkfs.ext4", &["-q", image.to_str().unwrap()]);
        disk.mount();
        disk
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn mount(&self) {
        let (image, path) = (self.image(), self.path());
        run(
            "mount",
            &[
                "-o",
                "loop",
                image.to_str().unwrap(),
                path.to_str().unwrap(),
            ],
        );
    }

    /// Commits the journal, and nothing else: sizes are there, and bytes may not be.
    fn cut_the_power(&self) {
        self.shut_down("1");
    }

    /// Commits nothing: neither bytes nor names are there unless they were synced.
    fn lose_what_is_not_synced(&self) {
        self.shut_down("2");
    }

    /// Shuts the file system down (`EXT4_IOC_SHUTDOWN`).
    fn shut_down(&self, how: &str) {
        const SHUT_DOWN: &str = "import fcntl, os, struct, sys; \
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', int(sys.argv[2])))";
        run(
            "python3",
            &["-c", SHUT_DOWN, self.path().to_str().unwrap(), how],
        );
    }

    fn mount_again(&self) {
        run("umount", &[self.path().to_str().unwrap()]);
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn run(name: &str, arguments: &[&str]) {
    let output = program(name).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
}

/// As if the machine had been restarted.
fn boot_anew(data: &Path, upload: &TusUpload) {
    let id = upload.url.rsplit('/').next().unwrap();
    let path = data.join("uploads").join(format!("{id}.state"));
    // It may not have reached the disk either.
    if let Ok(mut state) = fs::read(&path)
        && state.len() > BOOT_AT
    {
        state[BOOT_AT] ^= 1;
        fs::write(path, state).unwrap();
    }
}

#[tokio::test]
async fn after_a_power_failure_an_upload_goes_on_from_what_reached_the_disk() {
    let disk = Disk::new();
    let data = disk.path().join("data");
    let database = format!("sqlite:{}", disk.path().join("test.db").display());
    let settings = [
        ("FILESERVER_DATA_DIR", data.to_str().unwrap()),
        ("FILESERVER_DATABASE_URL", database.as_str()),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let client = server.client();
    for _ in 0..4 {
        let bytes = random(12_000_000);
        let upload = TusUpload::begin(client, bytes.len(), &[]).await;
        let most = 11 * 1024 * 1024;
        assert_eq!(upload.append(0, bytes[..most].to_vec()).await.status, 204);
        disk.cut_the_power();
        server.kill().await;
        disk.mount_again();
        boot_anew(&data, &upload);
        server.restart().await;
        let offset = upload.offset().await;
        assert!(offset <= most);
        let answer = upload.append(offset, bytes[offset..].to_vec()).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        let file = format!("/files/{}", digests(&bytes).sha1);
        assert_eq!(answer.header("content-location"), file);
        let content = client.get(&format!("{file}/content")).await;
        assert!(content.body == bytes);
    }
    server.stop().await;
    server.check_is_clean();
}

/// A way to store bytes; each is acknowledged when it returns.
const WAYS: [&str; 7] = [
    "raw",
    "put",
    "form",
    "tus",
    "tus in parts",
    "draft",
    "concatenation",
];

/// Stores bytes, and asserts that this is acknowledged.
async fn store(client: &Client, way: &str, bytes: &[u8]) {
    let (half, sha1) = (bytes.len() / 2, digests(bytes).sha1);
    let answer = match way {
        "raw" => client.upload_raw("a.bin", bytes.to_vec()).await,
        "put" => {
            let put = client.request(Method::PUT, &format!("/files/{sha1}?file_name=a.bin"));
            client.send(put.body(bytes.to_vec())).await
        }
        "form" => client.upload("a.bin", bytes.to_vec()).await,
        "tus" => {
            let upload = TusUpload::begin(client, bytes.len(), &[]).await;
            upload.append(0, bytes.to_vec()).await
        }
        "tus in parts" => {
            let upload = TusUpload::begin(client, bytes.len(), &[]).await;
            assert_eq!(upload.append(0, bytes[..half].to_vec()).await.status, 204);
            upload.append(half, bytes[half..].to_vec()).await
        }
        "draft" => {
            let request = client.request(Method::POST, "/files?file_name=a.bin");
            let request = request.header("upload-complete", "?1");
            client.send(request.body(bytes.to_vec())).await
        }
        "concatenation" => {
            let mut parts = Vec::new();
            for part in [&bytes[..half], &bytes[half..]] {
                let request = TusUpload::request_at(client, Method::POST, "/tus")
                    .header("upload-concat", "partial")
                    .header("upload-length", part.len())
                    .header("content-type", "application/offset+octet-stream")
                    .body(part.to_vec());
                parts.push(client.send(request).await.header("location").to_owned());
            }
            let request = TusUpload::request_at(client, Method::POST, "/tus");
            let concat = format!("final;{}", parts.join(" "));
            client.send(request.header("upload-concat", concat)).await
        }
        other => panic!("{other} is no way"),
    };
    assert!(answer.status.is_success(), "{way}: {}", answer.text());
}

#[tokio::test]
async fn acknowledged_bytes_and_their_names_are_on_the_disk() {
    let disk = Disk::new();
    // A commit of the database on the same disk would commit what the store left in the journal.
    let data = disk.path().join("data");
    let archive = disk.path().join("archive");
    let settings = [
        ("FILESERVER_DATA_DIR", data.to_str().unwrap()),
        ("FILESERVER_STORES_ARCHIVE_KIND", "disk"),
        ("FILESERVER_STORES_ARCHIVE_PATH", archive.to_str().unwrap()),
        ("FILESERVER_COPY_GRACE", "0"),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let client = server.client();
    for way in WAYS {
        for size in [1000, 3_000_000] {
            let bytes = random(size);
            store(client, way, &bytes).await;
            disk.lose_what_is_not_synced();
            server.kill().await;
            disk.mount_again();
            server.restart().await;
            let content = format!("/files/{}/content", digests(&bytes).sha1);
            let answer = client.get(&content).await;
            assert_eq!(answer.status, 200, "{way} {size}");
            assert!(answer.body == bytes, "{way} {size}");
        }
    }
    let transfer = serde_json::json!({"from": "disk", "to": "archive"});
    let begun = client.request(Method::POST, "/transfers").json(&transfer);
    let begun = client.send(begun).await.header("location").to_owned();
    while client.get(&begun).await.json()["state"] == "running" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    disk.lose_what_is_not_synced();
    server.kill().await;
    disk.mount_again();
    server.restart().await;
    for meta in client.list_all("").await {
        let answer = client
            .get(&format!("/files/{}/content", meta.file_sha1))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(digests(&answer.body).sha1, meta.file_sha1);
    }
    server.stop().await;
}

#[tokio::test]
async fn acknowledged_changes_are_in_the_database() {
    let disk = Disk::new();
    let database = format!("sqlite:{}", disk.path().join("test.db").display());
    let settings = [("FILESERVER_DATABASE_URL", database.as_str())];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let client = server.client();
    let cut = async || {
        disk.lose_what_is_not_synced();
        server.kill().await;
        disk.mount_again();
        server.restart().await;
    };
    for way in WAYS {
        let bytes = random(1000);
        store(client, way, &bytes).await;
        cut().await;
        let sha1 = digests(&bytes).sha1;
        let answer = client.get(&format!("/files/{sha1}/content")).await;
        assert!(answer.body == bytes, "{way}");
        let patch = serde_json::json!({"file_name": "other.bin"});
        assert_eq!(client.patch(&sha1, &patch).await.status, 200);
        cut().await;
        let meta = client.get(&format!("/files/{sha1}")).await.meta();
        assert_eq!(meta.file_name.as_str(), "other.bin");
        assert_eq!(client.delete(&sha1).await.status, 204);
        cut().await;
        client
            .get(&format!("/files/{sha1}"))
            .await
            .problem(404, "not-found");
    }
    server.stop().await;
}
