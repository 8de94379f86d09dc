//! All that the service can use, for tests that are to run with it: a replica of the database, and
//! a cache.
//!
//! `TEST_STACK=full` is for the tests on `MariaDB`; `TEST_STORE=ceph` adds the bucket. What they
//! share is started by the first of them, and ends with the process.

use std::{ffi::OsString, sync::OnceLock, thread};

use crate::{Kind, Pair, Which};

/// Whether tests are to run with it.
pub(crate) fn is_full() -> bool {
    std::env::var("TEST_STACK").is_ok_and(|stack| stack == "full")
}

/// The primary's URL, without a database.
pub(crate) fn database() -> String {
    pair().server(Which::First)
}

/// The settings of a service with a database on the primary.
pub(crate) fn settings(database: &str) -> [(&'static str, OsString); 3] {
    let replica = format!("{}/{database}", pair().server(Which::Second));
    let redis = std::env::var("TEST_REDIS_URL").unwrap();
    [
        ("FILESERVER_DATABASE_REPLICAS", replica.into()),
        ("FILESERVER_REDIS_URL", redis.into()),
        ("FILESERVER_REDIS_PREFIX", database.into()),
    ]
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
