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

pub use sea_orm_migration::{IntoSchemaManagerConnection, MigrationStatus, MigratorTrait};
use sea_orm_migration::{MigrationTrait, async_trait};

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
        ]
    }
}
