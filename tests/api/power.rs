//! A power failure: bytes that had not reached the disk are not counted, and no others are stored.
//!
//! The disk is an ext4 of the test's own, which is shut down as it is, by an ioctl that is there
//! for such tests, and mounted anew. Of the machine's other boot only its mark can be imitated.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{Kind, Server, TusUpload, digests, program, random, require};
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
        const SHUT_DOWN: &str = "import fcntl, os, struct, sys; \
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 1))";
        run("python3", &["-c", SHUT_DOWN, self.path().to_str().unwrap()]);
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
