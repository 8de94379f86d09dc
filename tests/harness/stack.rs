//! The whole stack, for runs of the tests with `TEST_STACK=full`: three processes behind nginx, a pair
//! of database servers, a cache, and a bucket, whose objects are copied to another bucket with the help
//! of a broker.
//!
//! It replaces one process, `SQLite` and a local disk. The database servers are started by the first
//! test, and end with the process.

use std::{ffi::OsString, path::Path, sync::OnceLock, thread};

use crate::{Ceph, Kind, Nginx, Pair, TestDatabase, UNLIMITED, Which, server::Process, variable};

/// Returns whether the tests run on the whole stack.
pub(crate) fn is_full() -> bool {
    std::env::var("TEST_STACK").is_ok_and(|stack| stack == "full")
}

/// The number of processes that serve on a kind of database.
pub(crate) fn processes(kind: Kind) -> usize {
    if is_full() && kind != Kind::Postgres {
        3
    } else {
        1
    }
}

/// The primary's URL, without a database.
pub(crate) fn database() -> String {
    pair().server(Which::First)
}

/// The settings of a service with a database on the primary.
pub(crate) fn settings(database: &TestDatabase) -> Vec<(&'static str, OsString)> {
    let name = database.name();
    // All processes of a service share it, and no other service has it.
    let key = format!("{name:0<64}").replace(|c: char| !c.is_ascii_hexdigit(), "0");
    let replica = format!("{}/{name}", pair().server(Which::Second));
    let mut settings = vec![
        ("FILESERVER_DATABASE_REPLICAS", replica),
        ("FILESERVER_REDIS_URL", variable("TEST_REDIS_URL")),
        ("FILESERVER_REDIS_PREFIX", name.to_owned()),
        ("FILESERVER_CURSOR_KEY", key.clone()),
        ("FILESERVER_LINK_KEYS", key),
        ("FILESERVER_TRANSFER_POLICY", "copy".to_owned()),
        ("FILESERVER_TRANSFER_TO", "far".to_owned()),
        ("FILESERVER_TRANSFER_BROKER", variable("TEST_AMQP_URL")),
        ("FILESERVER_TRANSFER_QUEUE", name.to_owned()),
    ];
    settings.extend(Ceph::far());
    let settings = settings.into_iter();
    settings.map(|(name, value)| (name, value.into())).collect()
}

/// The settings of processes behind nginx.
pub(crate) fn settings_behind_nginx() -> [(&'static str, OsString); 2] {
    [
        ("FILESERVER_TRUSTED_PROXIES", "127.0.0.1".into()),
        ("FILESERVER_ACCEL_REDIRECT", "/_objects/".into()),
    ]
}

/// An nginx before the processes.
pub(crate) async fn nginx(processes: &[Process]) -> Nginx {
    let addresses: Vec<_> = processes
        .iter()
        .map(|process| process.address.clone())
        .collect();
    Nginx::before_all(&addresses, Path::new("/nowhere"), &UNLIMITED).await
}

fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        // The servers end with the thread that started them, and so this one does not.
        let (sender, started) = std::sync::mpsc::channel();
        thread::spawn(move || {
            sender.send(Pair::start_for_all(Kind::MariaDb)).unwrap();
            loop {
                thread::park();
            }
        });
        started.recv().unwrap()
    })
}
