//! The parts of the cluster, all of them real.

use std::{path::Path, process::Command, time::Duration};

use harness::{
    Ceph, Client, Kind, Nginx, Oss, Pair, Redis, Replica, Server, UNLIMITED, Which, lent, variable,
};
use tokio::time::sleep;

use crate::staleness::CACHE_AGE;

/// Three replicas behind nginx, two workers, a pair of database servers, a cache, a broker, and
/// two stores.
pub(crate) struct Cluster {
    pub(crate) databases: Pair,
    pub(crate) primary: Which,
    pub(crate) replicas: Vec<Replica>,
    /// The second worker is `server`, which also runs the subcommands.
    pub(crate) worker: Replica,
    pub(crate) redis: Redis,
    server: Server,
    nginx: Nginx,
    _oss: Oss,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let databases = Pair::start(Kind::MariaDb);
        let (redis, oss) = (Redis::start(), Oss::start());
        let database = databases.database();
        let broker = variable("TEST_AMQP_URL");
        let key = "0123456789abcdef".repeat(4);
        let mut settings: Vec<(&'static str, String)> = vec![
            ("FILESERVER_AUTH", "token".to_owned()),
            ("FILESERVER_CURSOR_KEY", key.clone()),
            ("FILESERVER_LINK_KEYS", key),
            ("FILESERVER_PRIMARY", "ceph".to_owned()),
            ("FILESERVER_TRANSFER_POLICY", "copy".to_owned()),
            ("FILESERVER_TRANSFER_TO", "oss".to_owned()),
            ("FILESERVER_TRANSFER_BROKER", broker),
            (
                "FILESERVER_TRANSFER_QUEUE",
                format!("cluster{}", database.url().len()),
            ),
            ("FILESERVER_REDIS_URL", redis.url()),
            ("FILESERVER_CACHE_AGE", CACHE_AGE.as_secs().to_string()),
            ("FILESERVER_ROLE", "worker".to_owned()),
        ];
        settings.extend(databases.settings(&database));
        settings.extend(Ceph::settings());
        settings.extend(oss.settings());
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let server = Server::start_on(database, folder, data, &lent(&settings)).await;
        let worker = Replica::of(&server, &[]).await;
        let mut replicas = Vec::new();
        for _ in 0..3 {
            let role = [("FILESERVER_ROLE", "api,upload,download")];
            replicas.push(Replica::of(&server, &role).await);
        }
        let addresses: Vec<String> = replicas
            .iter()
            .map(|replica| replica.address().to_owned())
            .collect();
        let nginx = Nginx::before_all(&addresses, Path::new("/nowhere"), &UNLIMITED).await;
        Self {
            databases,
            primary: Which::First,
            replicas,
            worker,
            redis,
            server,
            nginx,
            _oss: oss,
        }
    }

    /// A client of an owner, by way of nginx.
    pub(crate) fn client_of(&self, owner: &str) -> Client {
        let token = self.server.token(owner, "files:read,files:write");
        self.server
            .client()
            .by_way_of(self.nginx.base())
            .with_token(&token)
    }

    /// Clients that read the replicas' metrics, in the order of the replicas.
    pub(crate) fn metrics(&self) -> Vec<Client> {
        let token = self.server.token("monitoring", "metrics:read");
        let replicas = self.replicas.iter();
        replicas
            .map(|replica| replica.client().with_token(&token))
            .collect()
    }

    /// Waits until all copies are made, stops everything, and asserts that every row has its
    /// bytes, and all bytes have their row.
    pub(crate) async fn finish(mut self) {
        let count = format!(
            "SELECT COUNT(*) FROM {}.tbl_job WHERE status = 0",
            self.server.database().name()
        );
        // Jobs of killed processes, and those that the broker lost, would be due after some minutes.
        let free = format!(
            "UPDATE {}.tbl_job SET holder = NULL, due_at = 0 WHERE status = 0",
            self.server.database().name()
        );
        for _ in 0..30 {
            let _ = self.databases.administrate(self.primary, &free);
            for _ in 0..100 {
                if self.databases.administrate(self.primary, &count).trim() == "0" {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        let left = self.databases.administrate(self.primary, &count);
        assert_eq!(left.trim(), "0", "copies are not made");
        for replica in &mut self.replicas {
            replica.stop().await;
        }
        self.worker.stop().await;
        self.server.stop().await;
        // Objects whose uploads were interrupted are found once they are old enough.
        let removed = self
            .server
            .command(&["check", "--remove-orphans", "--orphan-age", "0"]);
        let said = String::from_utf8_lossy(&removed.stderr);
        assert!(removed.status.success(), "{said}");
        self.server.check_is_clean();
    }
}

/// Kills the broker, and restarts it with its data.
pub(crate) fn restart_broker() {
    let servers = variable("TEST_SERVERS");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers");
    let restarted = Command::new(script)
        .args(["restart-broker", &servers])
        .status();
    assert!(restarted.unwrap().success());
}
