//! An owner's unfinished uploads: the listing, and the search for those of one content.

use domain::{Owner, Role, Session, Sha1, Sha256, Timestamp, UploadPosition};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, ExprTrait as _, Iterable as _, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select,
    sea_query::{
        Expr,
        extension::mysql::{IndexHintScope, MySqlSelectStatementExt as _},
    },
};

use super::{
    Sessions,
    row::{OPEN, stored_role},
};
use crate::{boxed, entities::upload, error::Result, transaction::attempt};

impl Sessions<'_> {
    /// Lists an owner's unfinished uploads after a position, newest first, without the metadata that
    /// their clients sent. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list_open(
        &self,
        owner: &Owner,
        after: Option<UploadPosition>,
        now: Timestamp,
        limit: u64,
    ) -> Result<Vec<Session>> {
        let list = || newest(owner, after, now).limit(limit).all(self.0.newest());
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Lists up to `limit` of an owner's unfinished uploads that announced this SHA-1, and as many
    /// that announced this SHA-256, without parts and concatenations. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list_of_content(
        &self,
        owner: &Owner,
        sha1: Option<&Sha1>,
        sha256: Option<&Sha256>,
        limit: u64,
    ) -> Result<Vec<Session>> {
        let digests = [
            sha1.map(|sha1| upload::Column::ExpectedSha1.eq(sha1.to_string())),
            sha256.map(|sha256| upload::Column::ExpectedSha256.eq(sha256.to_string())),
        ];
        let mut found: Vec<Session> = Vec::new();
        for digest in digests.into_iter().flatten() {
            let list = || {
                upload::Entity::find()
                    .filter(upload::Column::Owner.eq(owner.as_str()))
                    .filter(digest.clone())
                    .filter(upload::Column::Status.eq(OPEN))
                    .filter(upload::Column::Role.eq(stored_role(Role::Whole)))
                    .limit(limit)
                    .all(self.0.newest())
            };
            for row in attempt(list).await? {
                if found.iter().all(|known| known.id.to_string() != row.id) {
                    found.push(row.try_into()?);
                }
            }
        }
        Ok(found)
    }
}

/// Leaves out the columns that may be long, and names the index as the listing of files does.
pub(crate) fn newest(
    owner: &Owner,
    after: Option<UploadPosition>,
    now: Timestamp,
) -> Select<upload::Entity> {
    let is_long = |column: &upload::Column| {
        matches!(column, upload::Column::Metadata | upload::Column::Concat)
    };
    let mut select = upload::Entity::find()
        .select_only()
        .columns(upload::Column::iter().filter(|column| !is_long(column)));
    for column in upload::Column::iter().filter(is_long) {
        select = select.expr_as(Expr::cust("NULL"), column);
    }
    select = select
        .filter(upload::Column::Owner.eq(owner.as_str()))
        .filter(upload::Column::Status.eq(OPEN))
        // The sum keeps SQLite from the index by expiry, whose rows it would have to sort.
        .filter(
            Expr::col(upload::Column::ExpiresAt)
                .add(0)
                .gt(now.microseconds()),
        )
        .order_by_desc(upload::Column::CreateAt)
        .order_by_desc(upload::Column::Id);
    if let Some(UploadPosition { create_at, id }) = after {
        let create_at = create_at.microseconds();
        let is_older = Condition::any()
            .add(upload::Column::CreateAt.lt(create_at))
            .add(upload::Column::Id.lt(id.to_string()));
        select = select
            .filter(upload::Column::CreateAt.lte(create_at))
            .filter(is_older);
    }
    QueryTrait::query(&mut select).force_index("ix_upload_newest", IndexHintScope::All);
    select
}
