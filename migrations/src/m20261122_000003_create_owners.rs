//! What belongs to owners besides their files: how much they have and may have, tokens, links; and
//! what finds the contents that nobody has any more.

use sea_orm_migration::prelude::*;

use crate::dialect::{
    Dialect, add_column, add_index, create_table, drop_column, drop_index, optional, random_id,
    required,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const ENTRIES: &str = "tbl_user_file";
const BY_CONTENT: &str = "ix_user_file_sha1";
const BY_STATUS: &str = "ix_user_file_status";

const UPLOADS: &str = "tbl_upload";
const HELD_BYTES: &str = "held_bytes";
const RUNNING_UPLOADS: &str = "ix_upload_owner_status";

/// Columns of `tbl_usage`.
#[derive(DeriveIden)]
enum Usage {
    #[sea_orm(iden = "tbl_usage")]
    Table,
    Owner,
    Bytes,
    Files,
    MaxBytes,
    MaxFiles,
    MaxUploads,
}

/// Columns of `tbl_token`.
#[derive(DeriveIden)]
enum Token {
    #[sea_orm(iden = "tbl_token")]
    Table,
    Id,
    Hash,
    Owner,
    Scopes,
    Label,
    CreateAt,
    ExpiresAt,
    UsedAt,
    RevokeAt,
}

/// Columns of `tbl_link`.
#[derive(DeriveIden)]
enum Link {
    #[sea_orm(iden = "tbl_link")]
    Table,
    Id,
    Owner,
    FileSha1,
    Disposition,
    Downloads,
    MaxDownloads,
    CreateAt,
    ExpiresAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        create_table(manager, usage_table(dialect), Vec::new()).await?;
        create_table(manager, token_table(dialect), vec![tokens_of_owner()]).await?;
        create_table(manager, link_table(dialect), link_indexes()).await?;
        add_column(manager, UPLOADS, HELD_BYTES).await?;
        add_index(
            manager,
            UPLOADS,
            RUNNING_UPLOADS,
            &["owner", "status", "expires_at"],
        )
        .await?;
        add_index(manager, ENTRIES, BY_CONTENT, &["file_sha1", "status"]).await?;
        add_index(manager, ENTRIES, BY_STATUS, &["status", "update_at"]).await?;
        count_what_is_there(manager.get_connection()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, UPLOADS, RUNNING_UPLOADS).await?;
        drop_column(manager, UPLOADS, HELD_BYTES).await?;
        drop_index(manager, ENTRIES, BY_STATUS).await?;
        drop_index(manager, ENTRIES, BY_CONTENT).await?;
        for table in ["tbl_link", "tbl_token", "tbl_usage"] {
            let drop = Table::drop().table(Alias::new(table)).if_exists().take();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

/// Status 2 is that of entries that were given up, which no longer count.
async fn count_what_is_there(connection: &SchemaManagerConnection<'_>) -> Result<(), DbErr> {
    for statement in [
        "DELETE FROM tbl_usage",
        "INSERT INTO tbl_usage (owner, bytes, files) \
         SELECT owner, SUM(file_size), COUNT(*) FROM tbl_user_file WHERE status <> 2 \
         GROUP BY owner",
    ] {
        connection.execute_unprepared(statement).await?;
    }
    Ok(())
}

fn usage_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Usage::Table)
        .if_not_exists()
        .col(
            required(Usage::Owner, dialect.text(255))
                .primary_key()
                .take(),
        )
        .col(required(Usage::Bytes, ColumnType::BigInteger))
        .col(required(Usage::Files, ColumnType::BigInteger))
        .col(optional(Usage::MaxBytes, ColumnType::BigInteger))
        .col(optional(Usage::MaxFiles, ColumnType::BigInteger))
        .col(optional(Usage::MaxUploads, ColumnType::BigInteger))
        .take()
}

fn token_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Token::Table)
        .if_not_exists()
        .col(random_id(Token::Id, dialect))
        .col(required(Token::Hash, dialect.hexadecimal(64)))
        .col(required(Token::Owner, dialect.text(255)))
        .col(required(Token::Scopes, dialect.text(255)))
        .col(required(Token::Label, dialect.text(255)))
        .col(required(Token::CreateAt, ColumnType::BigInteger))
        .col(optional(Token::ExpiresAt, ColumnType::BigInteger))
        .col(optional(Token::UsedAt, ColumnType::BigInteger))
        .col(optional(Token::RevokeAt, ColumnType::BigInteger))
        .index(
            Index::create()
                .name("uq_token_hash")
                .col(Token::Hash)
                .unique(),
        )
        .take()
}

fn tokens_of_owner() -> IndexCreateStatement {
    Index::create()
        .name("ix_token_owner")
        .table(Token::Table)
        .col(Token::Owner)
        .take()
}

fn link_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Link::Table)
        .if_not_exists()
        .col(random_id(Link::Id, dialect))
        .col(required(Link::Owner, dialect.text(255)))
        .col(required(Link::FileSha1, dialect.hexadecimal(40)))
        .col(required(Link::Disposition, ColumnType::Integer))
        .col(required(Link::Downloads, ColumnType::BigInteger))
        .col(optional(Link::MaxDownloads, ColumnType::BigInteger))
        .col(required(Link::CreateAt, ColumnType::BigInteger))
        .col(required(Link::ExpiresAt, ColumnType::BigInteger))
        .take()
}

/// One finds the links to a file, the other those that are over.
fn link_indexes() -> Vec<IndexCreateStatement> {
    let of_file = Index::create()
        .name("ix_link_owner_sha1")
        .table(Link::Table)
        .col(Link::Owner)
        .col(Link::FileSha1)
        .take();
    let expired = Index::create()
        .name("ix_link_expires_at")
        .table(Link::Table)
        .col(Link::ExpiresAt)
        .take();
    vec![of_file, expired]
}
