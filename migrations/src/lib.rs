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

/// The tables that each step creates, oldest first; those of leases, checksums and visits hold
/// nothing that cannot be made again.
fn tables() -> [Vec<String>; 8] {
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let shards = (0..256).map(|shard| format!("tbl_{shard:02x}"));
    [
        shards.chain(["tbl_user_file".to_owned()]).collect(),
        named(&["tbl_upload", "tbl_claim"]),
        named(&["tbl_usage", "tbl_token", "tbl_link"]),
        named(&[
            "tbl_transfer",
            "tbl_job",
            "tbl_leftover",
            "tbl_staging",
            "tbl_segment",
        ]),
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::new(),
    ]
}

/// The tables whose rows are lost when the last steps are taken back.
#[must_use]
pub fn dropped_tables(steps: usize) -> Vec<String> {
    let tables = tables();
    let kept = tables.len().saturating_sub(steps);
    tables.into_iter().skip(kept).flatten().collect()
}

/// The steps, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_create_files::Migration),
            Box::new(m20261122_000002_create_uploads::Migration),
            Box::new(m20261122_000003_create_owners::Migration),
            Box::new(m20261123_000004_create_transfers::Migration),
            Box::new(m20261123_000005_create_leases::Migration),
            Box::new(m20261128_000006_create_checksums::Migration),
            Box::new(m20261129_000007_create_visits::Migration),
            Box::new(m20261129_000008_index_uploads::Migration),
        ]
    }
}
