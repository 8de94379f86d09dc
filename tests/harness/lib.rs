//! The tests' harness: a database for each test, the real binary, and a client that checks every
//! answer against the contract.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics"
)]

mod browser;
mod client;
mod collector;
mod contents;
mod contract;
mod databases;
mod files;
mod issuer;
mod nginx;
mod pair;
mod programs;
mod prometheus;
mod proxy;
mod redis;
mod replica;
mod server;
mod stack;
mod stores;
mod tus;

pub use browser::Browser;
pub use client::{Answer, Client, http};
pub use collector::{Collector, Span};
pub use contents::{digests, pieces, random, unique_text};
pub use databases::{Kind, TestDatabase};
pub use files::{Dice, File};
pub use issuer::Issuer;
pub use nginx::{Nginx, UNLIMITED, free_port};
pub use pair::{Pair, Which};
pub use programs::{path_variable, program, require, variable};
pub use prometheus::{Prometheus, deploy};
pub use proxy::Proxy;
pub use redis::Redis;
pub use replica::Replica;
pub use rustix::process::Signal;
pub use server::{Server, binary, eventually, signal};
pub use stores::{Ceph, Gateway, Oss, StoreSettings, freeze, lent, process_in};
pub use tus::TusUpload;

/// Makes a test of each function for each database.
///
/// Each runs against a server of its own, with the settings that follow `with`. The server is
/// then stopped, and its rows and bytes are checked. `alone with` is for tests about a single
/// process.
#[macro_export]
macro_rules! on_every_database {
    ($($(#[$attribute:meta])* $test:ident,)+) => {
        $crate::on_every_database!(with &[]; $($test,)+);
    };
    (with $settings:expr; $($test:ident,)+) => {
        $crate::on_every_database!(@ start, $settings, $($test)+);
    };
    (alone with $settings:expr; $($test:ident,)+) => {
        $crate::on_every_database!(@ alone, $settings, $($test)+);
    };
    (@ $start:ident, $settings:expr, $($test:ident)+) => {
        $crate::on_every_database!(@ $start, sqlite, Sqlite, $settings, $($test)+);
        $crate::on_every_database!(@ $start, mariadb, MariaDb, $settings, $($test)+);
        $crate::on_every_database!(@ $start, postgres, Postgres, $settings, $($test)+);
    };
    (@ $start:ident, $module:ident, $kind:ident, $settings:expr, $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    let server = $crate::Server::$start($crate::Kind::$kind, $settings).await;
                    super::$test(&server).await;
                    server.finish().await;
                }
            )+
        }
    };
}
