//! A real Prometheus with the rules that the project ships.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{http, nginx::free_port, program};

/// A Prometheus, which ends when it is dropped.
pub struct Prometheus {
    process: Child,
    base: String,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that looks at these addresses each half second, and has the project's alerts.
    pub async fn watching(addresses: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let rules = deploy("prometheus/alerts.yml");
        let settings = format!(
            "global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}\n\
             rule_files: [{}]\n\
             scrape_configs: [{{job_name: fileserver, static_configs: [{{targets: {addresses:?}}}]}}]\n",
            rules.display()
        );
        fs::write(path("prometheus.yml"), settings).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = program("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("data")))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self {
            process,
            base: format!("http://{address}/api/v1"),
            _folder: folder,
        };
        while prometheus.try_ask("query", "vector(1)").await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        prometheus
    }

    /// The current result of an expression.
    ///
    /// # Errors
    ///
    /// The error of Prometheus if the expression is invalid.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let answer = self.try_ask("query", expression).await.unwrap();
        match answer["data"]["result"].as_array() {
            Some(result) => Ok(result.clone()),
            None => Err(answer["error"].to_string()),
        }
    }

    /// The alerts that there are, as Prometheus read them.
    pub async fn alerts(&self) -> Vec<Value> {
        let answer = self.try_ask("rules", "").await.unwrap();
        answer["data"]["groups"][0]["rules"]
            .as_array()
            .unwrap()
            .clone()
    }

    async fn try_ask(&self, what: &str, expression: &str) -> reqwest::Result<Value> {
        let url = format!("{}/{what}", self.base);
        let request = http().build()?.get(url).query(&[("query", expression)]);
        request.send().await?.json().await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A file that the project ships.
#[must_use]
pub fn deploy(path: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    workspace.join("deploy").join(path)
}
