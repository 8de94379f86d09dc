//! A real nginx with the configuration that the project ships.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
};

use tempfile::TempDir;

use crate::{Server, Signal, eventually, program, signal};

/// Rates that no test reaches: all its clients come from one address.
pub const UNLIMITED: [(&str, &str); 5] = [
    ("PROXY_API_REQUESTS", "1000000r/s"),
    ("PROXY_API_BURST", "1000000"),
    ("PROXY_DOWNLOAD_REQUESTS", "1000000r/s"),
    ("PROXY_DOWNLOAD_BURST", "1000000"),
    ("PROXY_DOWNLOAD_CONNECTIONS", "1000"),
];

/// An nginx before a server, which is stopped when this is dropped.
pub struct Nginx {
    process: Child,
    folder: TempDir,
    base: String,
}

impl Nginx {
    /// Starts nginx before a server, with some of its settings (`docker/nginx/proxy.env`).
    pub async fn before(server: &Server, settings: &[(&str, &str)]) -> Self {
        let objects = server.data().join("objects");
        Self::start(&server.address().await, &objects, settings).await
    }

    /// Starts nginx before a server at an address, whose objects are in a folder.
    pub async fn start(upstream: &str, objects: &Path, settings: &[(&str, &str)]) -> Self {
        Self::before_all(&[upstream.to_owned()], objects, settings).await
    }

    /// Starts nginx before several replicas.
    pub async fn before_all(
        replicas: &[String],
        objects: &Path,
        settings: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["conf.d", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut all = vec![
            ("PROXY_LISTEN", format!("127.0.0.1:{port}")),
            ("PROXY_UPSTREAM", replicas[0].clone()),
            ("PROXY_OBJECTS", objects.display().to_string()),
            ("PROXY_TEMP", path("tmp")),
            ("PROXY_ACCESS_LOG", path("access.log")),
        ];
        all.extend(
            settings
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        render(folder.path(), &all);
        let others = replicas[1..].iter();
        let others = others.map(|at| format!("server {at} max_fails=1 fail_timeout=2s;\n"));
        fs::write(path("conf.d/other.replicas"), others.collect::<String>()).unwrap();
        Self::run(folder, port).await
    }

    /// Starts nginx with the configuration of its own beginner's guide: one location of a port is passed
    /// to the server at an address, by HTTP/1.0.
    pub async fn plain(port: u16, location: &str, upstream: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join("tmp");
        fs::create_dir(&temporary).unwrap();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = kinds
            .map(|kind| format!("{kind}_temp_path {};", temporary.join(kind).display()))
            .concat();
        let configuration = format!(
            "events {{}} http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; \
             client_max_body_size 0; location {location} {{ proxy_pass http://{upstream}/; }} }} }}"
        );
        fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        Self::run(folder, port).await
    }

    async fn run(folder: TempDir, port: u16) -> Self {
        let path = |name: &str| folder.path().join(name).display().to_string();
        let process = program("nginx")
            .args(["-e", &path("error.log"), "-c", &path("nginx.conf")])
            .args([
                "-g",
                &format!("daemon off; pid {}; user root;", path("pid")),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = format!("127.0.0.1:{port}");
        eventually(|| std::net::TcpStream::connect(&address).is_ok()).await;
        Self {
            process,
            folder,
            base: format!("http://{address}"),
        }
    }

    /// Its URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its access log and its error log.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("access.log") + &read("error.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it.
        signal(self.process.id(), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// Renders the configuration as the image does: with the defaults, and other values over them.
fn render(folder: &Path, settings: &[(&str, String)]) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/nginx");
    let read = |name: &str| fs::read_to_string(shipped.join(name)).unwrap();
    let mut server = read("templates/fileserver.conf.template");
    for line in read("proxy.env").lines() {
        let Some((name, default)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let given = settings.iter().rev().find(|(other, _)| *other == name);
        let value = given.map_or(default, |(_, value)| value);
        server = server.replace(&format!("${{{name}}}"), value);
    }
    assert!(
        !server.contains("${"),
        "the template has variables that nothing sets"
    );
    fs::write(folder.join("conf.d/fileserver.conf"), server).unwrap();
    fs::write(folder.join("nginx.conf"), read("nginx.conf")).unwrap();
}

/// A port for a server that cannot choose one itself. The system takes the ports of connections from
/// another range, so that it stays free until the server listens.
#[must_use]
pub fn free_port() -> u16 {
    loop {
        let port = 10_000 + u16::try_from(getrandom::u32().unwrap() % 22_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
