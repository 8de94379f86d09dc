//! The session's row in the transaction that completes its upload.

use domain::{Content, RandomId, tus::Concatenation};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, Select, UpdateMany,
    sea_query::{Expr, LockType},
};

use super::row::{DONE, OPEN, stored_length};
use crate::{entities::upload, error::Result};

/// Locks a session's row and returns it if it is open.
pub(crate) async fn lock_open(
    transaction: &DatabaseTransaction,
    id: RandomId,
) -> Result<Option<upload::Model>> {
    let row = by_id(id).lock(LockType::Update).one(transaction).await?;
    Ok(row.filter(|row| row.status == OPEN))
}

/// Removes the parts of a concatenation; their bytes then belong to no upload and are deleted.
pub(crate) async fn remove_parts(
    transaction: &DatabaseTransaction,
    session: &upload::Model,
) -> Result<()> {
    let concat = session.concat.as_deref().unwrap_or_default();
    if let Ok(Concatenation::Final(parts)) = Concatenation::parse(concat) {
        upload::Entity::delete_many()
            .filter(upload::Column::Id.is_in(parts.iter().map(RandomId::to_string)))
            .filter(upload::Column::Owner.eq(session.owner.as_str()))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Records the content that an open session became.
pub(crate) async fn complete(
    transaction: &DatabaseTransaction,
    id: RandomId,
    content: &Content,
) -> Result<()> {
    update_open(id)
        .col_expr(upload::Column::Status, Expr::val(DONE))
        .col_expr(
            upload::Column::Length,
            Expr::val(stored_length(content.size)?),
        )
        .col_expr(
            upload::Column::FileSha1,
            Expr::val(content.sha1.to_string()),
        )
        .exec(transaction)
        .await?;
    Ok(())
}

pub(super) fn by_id(id: RandomId) -> Select<upload::Entity> {
    upload::Entity::find().filter(upload::Column::Id.eq(id.to_string()))
}

pub(super) fn update_open(id: RandomId) -> UpdateMany<upload::Entity> {
    upload::Entity::update_many()
        .filter(upload::Column::Id.eq(id.to_string()))
        .filter(upload::Column::Status.eq(OPEN))
}
