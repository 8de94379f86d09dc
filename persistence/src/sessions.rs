//! Resumable uploads: the files that they are to become, and their expiry.
//!
//! The number of received bytes is stored with the bytes, not here.

pub(crate) mod completion;
pub(crate) mod list;
mod quota;
pub(crate) mod row;

use domain::{Owner, Protocol, Quota, RandomId, Role, Session, SessionState, Timestamp, Usage};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr};

use self::{
    completion::{by_id, update_open},
    quota::{admit_file, load_quota},
    row::{FAILED, stored_length, stored_protocol, stored_role, to_row},
};
use crate::{boxed, database::Database, entities::upload, error::Result, transaction::attempt};

/// The repository of resumable uploads.
#[derive(Clone, Copy)]
pub struct Sessions<'a>(&'a Database);

impl Database {
    /// The repository of resumable uploads.
    #[must_use]
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions(self)
    }
}

impl Sessions<'_> {
    /// Adds an upload if it is within the owner's quota.
    ///
    /// `reserved` is the usage of the owner's uploads that have no row. If there is a quota,
    /// concurrent calls for one owner run one after the other.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`](crate::Error::QuotaFull), or when the database fails.
    #[boxed]
    pub async fn insert(
        &self,
        session: &Session,
        default_quota: &Quota,
        reserved: &Usage,
    ) -> Result<()> {
        let row = to_row(session)?;
        let insert = || upload::Entity::insert(row.clone());
        let now = session.create_at;
        let own = self.0.accounts().find(&session.owner).await?.own;
        if own.over(default_quota).is_unlimited() || session.state != SessionState::Open {
            let insert = || insert().exec_without_returning(self.0.writing());
            return attempt(insert).await.map(drop);
        }
        self.0
            .transact(|transaction| async move {
                let (quota, usage, own) =
                    load_quota(&transaction, session, default_quota, reserved, now).await?;
                quota.admit_upload(&usage)?;
                admit_file(&quota, &usage, &own)?;
                insert().exec_without_returning(&*transaction).await?;
                Ok(())
            })
            .await
    }

    /// Finds an owner's upload. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<Option<Session>> {
        let find = || by_id(id).one(self.0.newest());
        let row = attempt(find).await?;
        // The index selects by the id; the other conditions are checked here.
        let own = row
            .filter(|row| row.owner == owner.as_str() && row.protocol == stored_protocol(protocol));
        own.map(Session::try_from).transpose()
    }

    /// Finds an owner's tus uploads by their ids, in any order. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn find_many(&self, owner: &Owner, ids: &[RandomId]) -> Result<Vec<Session>> {
        let find = || {
            upload::Entity::find()
                .filter(upload::Column::Id.is_in(ids.iter().map(RandomId::to_string)))
                .filter(upload::Column::Owner.eq(owner.as_str()))
                .filter(upload::Column::Protocol.eq(stored_protocol(Protocol::Tus)))
                .all(self.0.newest())
        };
        let rows = attempt(find).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Finds an owner's newest concatenation of the same parts that has neither failed nor expired.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find_final(
        &self,
        owner: &Owner,
        concat: &str,
        now: Timestamp,
    ) -> Result<Option<Session>> {
        let find = || {
            upload::Entity::find()
                .filter(upload::Column::Owner.eq(owner.as_str()))
                .filter(upload::Column::Role.eq(stored_role(Role::Final)))
                .filter(upload::Column::Status.ne(FAILED))
                .filter(upload::Column::ExpiresAt.gt(now.microseconds()))
                .filter(upload::Column::Concat.eq(concat))
                .order_by_desc(upload::Column::CreateAt)
                .one(self.0.newest())
        };
        let row = attempt(find).await?;
        row.map(Session::try_from).transpose()
    }

    /// Sets the length of an upload, unless it was set before, if it is within the owner's quota;
    /// returns whether this call set it.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`](crate::Error::QuotaFull), or when the database fails.
    #[boxed]
    pub async fn set_length(
        &self,
        session: &Session,
        length: u64,
        default_quota: &Quota,
        reserved: &Usage,
        now: Timestamp,
    ) -> Result<bool> {
        let settled = &Session {
            length: Some(length),
            ..session.clone()
        };
        let length = stored_length(length)?;
        let own = self.0.accounts().find(&session.owner).await?.own;
        self.0
            .transact(|transaction| async move {
                if !own.over(default_quota).is_unlimited() {
                    let (quota, usage, own) =
                        load_quota(&transaction, settled, default_quota, reserved, now).await?;
                    admit_file(&quota, &usage, &own)?;
                }
                let done = update_open(session.id)
                    .col_expr(upload::Column::Length, Expr::val(length))
                    .filter(upload::Column::Length.is_null())
                    .exec(&*transaction)
                    .await?;
                Ok(done.rows_affected == 1)
            })
            .await
    }

    /// Sets the bytes of the owner's quota that are reserved for an upload of unknown length.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn reserve_bytes(&self, id: RandomId, bytes: u64) -> Result<()> {
        let bytes = stored_length(bytes)?;
        let update = || {
            update_open(id)
                .col_expr(upload::Column::HeldBytes, Expr::val(bytes))
                .exec(self.0.writing())
        };
        attempt(update).await.map(drop)
    }

    /// Sets the expiry of an upload.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn set_expiry(&self, id: RandomId, expires_at: Timestamp) -> Result<()> {
        let update = || {
            upload::Entity::update_many()
                .col_expr(
                    upload::Column::ExpiresAt,
                    Expr::val(expires_at.microseconds()),
                )
                .filter(upload::Column::Id.eq(id.to_string()))
                .exec(self.0.writing())
        };
        attempt(update).await.map(drop)
    }

    /// Marks an open upload as failed: it can no longer become a file.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn mark_failed(&self, id: RandomId) -> Result<()> {
        let update = || {
            update_open(id)
                .col_expr(upload::Column::Status, Expr::val(FAILED))
                .exec(self.0.writing())
        };
        attempt(update).await.map(drop)
    }

    /// Removes uploads.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove(&self, ids: &[RandomId]) -> Result<()> {
        let remove = || {
            upload::Entity::delete_many()
                .filter(upload::Column::Id.is_in(ids.iter().map(RandomId::to_string)))
                .exec(self.0.writing())
        };
        attempt(remove).await.map(drop)
    }

    /// Lists up to `limit` uploads that have expired.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list_expired(&self, now: Timestamp, limit: u64) -> Result<Vec<Session>> {
        let list = || {
            upload::Entity::find()
                .filter(upload::Column::ExpiresAt.lt(now.microseconds()))
                .order_by_asc(upload::Column::ExpiresAt)
                .limit(limit)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Removes an upload if it has still expired; returns whether it had.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove_expired(&self, id: RandomId, now: Timestamp) -> Result<bool> {
        let remove = || {
            upload::Entity::delete_many()
                .filter(upload::Column::Id.eq(id.to_string()))
                .filter(upload::Column::ExpiresAt.lt(now.microseconds()))
                .exec(self.0.writing())
        };
        Ok(attempt(remove).await?.rows_affected == 1)
    }

    /// Lists up to `limit` uploads of any owner, ordered by id, from the first one after `after`.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list(&self, after: Option<RandomId>, limit: u64) -> Result<Vec<Session>> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let list = || {
            upload::Entity::find()
                .filter(upload::Column::Id.gt(&after))
                .order_by_asc(upload::Column::Id)
                .limit(limit)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
