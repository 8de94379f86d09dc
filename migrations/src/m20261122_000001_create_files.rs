//! The contents, one row each over 256 tables, and the owners' entries.

use sea_orm_migration::prelude::*;

use crate::dialect::{Dialect, create_table, primary_key, required};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns of `tbl_00` to `tbl_ff`.
#[expect(clippy::enum_variant_names, reason = "the columns are called so")]
#[derive(DeriveIden)]
enum File {
    Id,
    FileSha1,
    FileSha256,
    FileName,
    FileSize,
    FileAddr,
    CreateAt,
    UpdateAt,
    Status,
    Ext1,
    Ext2,
}

/// Columns of `tbl_user_file`.
#[derive(DeriveIden)]
enum UserFile {
    #[sea_orm(iden = "tbl_user_file")]
    Table,
    Id,
    Owner,
    FileSha1,
    FileSha256,
    FileName,
    FileNameFolded,
    FileSize,
    ContentType,
    UploadAt,
    UpdateAt,
    Status,
    Version,
}

fn shards() -> impl Iterator<Item = String> {
    (0..256).map(|shard| format!("tbl_{shard:02x}"))
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // Only PostgreSQL rolls a broken step back. Elsewhere a step that stopped half-way is taken
    // again from its beginning, so each part of it bears that it is done already.
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        for shard in shards() {
            let status_index = content_status_index(&shard);
            create_table(manager, content_table(&shard, dialect), vec![status_index]).await?;
        }
        create_table(manager, entry_table(dialect), vec![newest_entries_index()]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = std::iter::once("tbl_user_file".to_owned()).chain(shards());
        for table in tables {
            let drop = Table::drop().table(Alias::new(table)).if_exists().take();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

fn content_table(shard: &str, dialect: Dialect) -> TableCreateStatement {
    let mut sha1_index = Index::create()
        .name(format!("uq_{shard}_sha1"))
        .col(File::FileSha1)
        .unique()
        .take();
    Table::create()
        .table(Alias::new(shard))
        .if_not_exists()
        .col(primary_key(File::Id))
        .col(required(File::FileSha1, dialect.hexadecimal(40)))
        .col(required(File::FileSha256, dialect.hexadecimal(64)))
        .col(required(File::FileName, dialect.text(256)))
        .col(required(File::FileSize, ColumnType::BigInteger))
        .col(required(File::FileAddr, dialect.text(1024)))
        .col(required(File::CreateAt, ColumnType::BigInteger))
        .col(required(File::UpdateAt, ColumnType::BigInteger))
        .col(required(File::Status, ColumnType::Integer))
        .col(ColumnDef::new(File::Ext1).integer())
        .col(ColumnDef::new(File::Ext2).text())
        .index(&mut sha1_index)
        .take()
}

fn content_status_index(shard: &str) -> IndexCreateStatement {
    Index::create()
        .name(format!("ix_{shard}_status"))
        .table(Alias::new(shard))
        .col(File::Status)
        .take()
}

fn entry_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(UserFile::Table)
        .if_not_exists()
        .col(primary_key(UserFile::Id))
        .col(required(UserFile::Owner, dialect.text(255)))
        .col(required(UserFile::FileSha1, dialect.hexadecimal(40)))
        .col(required(UserFile::FileSha256, dialect.hexadecimal(64)))
        .col(required(UserFile::FileName, dialect.text(256)))
        .col(required(UserFile::FileNameFolded, dialect.text(512)))
        .col(required(UserFile::FileSize, ColumnType::BigInteger))
        .col(required(UserFile::ContentType, dialect.text(255)))
        .col(required(UserFile::UploadAt, ColumnType::BigInteger))
        .col(required(UserFile::UpdateAt, ColumnType::BigInteger))
        .col(required(UserFile::Status, ColumnType::Integer))
        .col(required(UserFile::Version, ColumnType::BigInteger))
        .index(
            Index::create()
                .name("uq_user_file_owner_sha1")
                .col(UserFile::Owner)
                .col(UserFile::FileSha1)
                .unique(),
        )
        .take()
}

/// Serves "this owner's newest files" page by page, from the index's end backwards.
fn newest_entries_index() -> IndexCreateStatement {
    Index::create()
        .name("ix_user_file_newest")
        .table(UserFile::Table)
        .col(UserFile::Owner)
        .col(UserFile::Status)
        .col(UserFile::UploadAt)
        .col(UserFile::Id)
        .take()
}
