//! The database's schema as a frozen history of steps, each of which can be taken back.
//!
//! A step that was released is never edited; what is to be different comes as a new step. The
//! steps run on SQLite, on MySQL and MariaDB, and on PostgreSQL.

mod dialect;
mod m20261122_000001_create_files;
mod m20261122_000002_create_uploads;
mod m20261122_000003_create_owners;
mod m20261123_000004_create_transfers;
mod m20261123_000005_create_leases;
mod m20261128_000006_create_checksums;
mod m20261129_000007_create_visits;
mod m20261129_000008_index_uploads;

pub use sea_orm_migration::{
    IntoSchemaManagerConnection, MigrationStatus, MigratorTrait, SchemaManager,
};
use sea_orm_migration::{MigrationTrait, async_trait};

/// A step, and the tables that it creates whose rows would be lost if it was taken back.
type Step = (Box<dyn MigrationTrait>, Vec<String>);

/// The steps, oldest first. The tables of leases, checksums and visits hold nothing that cannot be made
/// again.
fn steps() -> Vec<Step> {
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let shards = (0..256).map(|shard| format!("tbl_{shard:02x}"));
    let files = shards.chain(["tbl_user_file".to_owned()]).collect();
    let transfers = [
        "tbl_transfer",
        "tbl_job",
        "tbl_leftover",
        "tbl_staging",
        "tbl_segment",
    ];
    vec![
        (Box::new(m20261122_000001_create_files::Migration), files),
        (
            Box::new(m20261122_000002_create_uploads::Migration),
            named(&["tbl_upload", "tbl_claim"]),
        ),
        (
            Box::new(m20261122_000003_create_owners::Migration),
            named(&["tbl_usage", "tbl_token", "tbl_link"]),
        ),
        (
            Box::new(m20261123_000004_create_transfers::Migration),
            named(&transfers),
        ),
        (
            Box::new(m20261123_000005_create_leases::Migration),
            named(&[]),
        ),
        (
            Box::new(m20261128_000006_create_checksums::Migration),
            named(&[]),
        ),
        (
            Box::new(m20261129_000007_create_visits::Migration),
            named(&[]),
        ),
        (
            Box::new(m20261129_000008_index_uploads::Migration),
            named(&[]),
        ),
    ]
}

/// The tables whose rows are lost when the last steps are taken back.
#[must_use]
pub fn dropped_tables(count: usize) -> Vec<String> {
    let last = steps().into_iter().rev().take(count);
    last.flat_map(|(_, tables)| tables).collect()
}

/// The steps, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        steps().into_iter().map(|(step, _)| step).collect()
    }
}
