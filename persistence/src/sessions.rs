//! The uploads that can be resumed: what they are to become, and how long they are kept.
//!
//! How many bytes have come is not here, but where the bytes are.

mod row;

use domain::{
    Content, FileName, MediaType, Owner, Quota, RandomId, Sha1, Sha256, Timestamp, Usage,
    tus::Concatenation,
};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    TryIntoModel,
    sea_query::{Expr, LockType},
};

use self::row::{DONE, FAILED, stored_length, stored_protocol, to_row};
pub(crate) use self::row::{OPEN, stored_role};
use crate::{
    Database, Result,
    database::{attempt, transact},
    entities::upload,
    usage,
};

/// An upload that can be resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id, which its URL has.
    pub id: RandomId,
    /// Who made it.
    pub owner: Owner,
    /// By which protocol.
    pub protocol: Protocol,
    /// What it has to do with others.
    pub role: Role,
    /// How far it has come.
    pub state: SessionState,
    /// How many bytes it will have, if that was said.
    pub length: Option<u64>,
    /// How many bytes are set aside of the owner's quota while the length is not known.
    pub held_bytes: Option<u64>,
    /// The name that the file gets.
    pub file_name: FileName,
    /// The media type that was declared.
    pub content_type: MediaType,
    /// The SHA-1 that was announced.
    pub expected_sha1: Option<Sha1>,
    /// The SHA-256 that was announced.
    pub expected_sha256: Option<Sha256>,
    /// What else the client said of it, to be said again.
    pub metadata: Option<String>,
    /// What the client said it has to do with others, to be said again.
    pub concat: Option<String>,
    /// When it was made.
    pub create_at: Timestamp,
    /// Until when it is kept.
    pub expires_at: Timestamp,
}

/// The protocol that an upload is made by, and the only one by which it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// tus 1.0.0.
    Tus,
    /// Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload).
    Http,
}

/// What an upload has to do with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing: it becomes a file.
    Whole,
    /// It becomes a part of another one.
    Part,
    /// It is made of parts.
    Final,
}

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Bytes may come.
    Open,
    /// It has become a file of this name.
    Done(Sha1),
    /// It cannot become a file any more.
    Failed,
}

/// The uploads that can be resumed.
#[derive(Clone, Copy)]
pub struct Sessions<'a>(pub(crate) &'a Database);

impl Sessions<'_> {
    /// Adds an upload, if its owner has room for it.
    ///
    /// `held` is what the owner's other uploads take that have no row. Who adds one upload waits
    /// for whoever adds another of the same owner, if there is a quota.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`](crate::Error::QuotaFull), or when the database fails.
    pub async fn insert(&self, session: &Session, everybody: &Quota, held: &Usage) -> Result<()> {
        let row = to_row(session)?;
        let insert = || upload::Entity::insert(row.clone());
        let now = session.create_at;
        let own = self.0.accounts().find(&session.owner).await?.own;
        if own.over(everybody).is_unlimited() || session.state != SessionState::Open {
            let insert = || insert().exec_without_returning(self.0.writing());
            return attempt(insert).await.map(drop);
        }
        transact(|| async {
            let transaction = self.0.begin().await?;
            let work = async {
                let (quota, usage, own) =
                    weigh(&transaction, session, everybody, held, now).await?;
                quota.admit_upload(&usage)?;
                admit_file(&quota, &usage, &own)?;
                insert().exec_without_returning(&transaction).await?;
                Ok(())
            };
            let work = work.await;
            Ok((transaction, work))
        })
        .await
    }

    /// Finds an owner's upload, as it is now.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    pub async fn find(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<Option<Session>> {
        let find = || by_id(id).one(self.0.newest());
        let row = attempt(find).await?;
        // The id is compared by the index, the rest here.
        let own = row
            .filter(|row| row.owner == owner.as_str() && row.protocol == stored_protocol(protocol));
        own.map(Session::try_from).transpose()
    }

    /// Finds those of an owner's tus uploads that are named, in any order, as they are now.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
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

    /// Finds an owner's newest upload that was said to be made of the same parts, and has neither
    /// failed nor expired.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
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

    /// Says how many bytes an upload will have, unless that was said before, if its owner has room
    /// for them.
    ///
    /// Gives whether it was not said before.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaFull`](crate::Error::QuotaFull), or when the database fails.
    pub async fn settle_length(
        &self,
        session: &Session,
        length: u64,
        everybody: &Quota,
        held: &Usage,
        now: Timestamp,
    ) -> Result<bool> {
        let settled = Session {
            length: Some(length),
            ..session.clone()
        };
        let length = stored_length(length)?;
        let own = self.0.accounts().find(&session.owner).await?.own;
        transact(|| async {
            let transaction = self.0.begin().await?;
            let work = async {
                if !own.over(everybody).is_unlimited() {
                    let (quota, usage, own) =
                        weigh(&transaction, &settled, everybody, held, now).await?;
                    admit_file(&quota, &usage, &own)?;
                }
                let done = update_open(session.id)
                    .col_expr(upload::Column::Length, Expr::val(length))
                    .filter(upload::Column::Length.is_null())
                    .exec(&transaction)
                    .await?;
                Ok(done.rows_affected == 1)
            };
            let work = work.await;
            Ok((transaction, work))
        })
        .await
    }

    /// Says how many bytes of the owner's quota are set aside for an upload of unknown length.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn hold(&self, id: RandomId, bytes: u64) -> Result<()> {
        let bytes = stored_length(bytes)?;
        let update = || {
            update_open(id)
                .col_expr(upload::Column::HeldBytes, Expr::val(bytes))
                .exec(self.0.writing())
        };
        attempt(update).await.map(drop)
    }

    /// Keeps an upload until another time.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn keep_until(&self, id: RandomId, expires_at: Timestamp) -> Result<()> {
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

    /// Says that an open upload cannot become a file any more.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn fail(&self, id: RandomId) -> Result<()> {
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
    pub async fn remove(&self, ids: &[RandomId]) -> Result<()> {
        let remove = || {
            upload::Entity::delete_many()
                .filter(upload::Column::Id.is_in(ids.iter().map(RandomId::to_string)))
                .exec(self.0.writing())
        };
        attempt(remove).await.map(drop)
    }

    /// Lists up to `limit` uploads that were kept until before a time.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
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

    /// Removes an upload if it is still kept until before a time.
    ///
    /// Gives whether it was.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn remove_expired(&self, id: RandomId, now: Timestamp) -> Result<bool> {
        let remove = || {
            upload::Entity::delete_many()
                .filter(upload::Column::Id.eq(id.to_string()))
                .filter(upload::Column::ExpiresAt.lt(now.microseconds()))
                .exec(self.0.writing())
        };
        Ok(attempt(remove).await?.rows_affected == 1)
    }

    /// Lists up to `limit` uploads of any owner, in the order of their ids, from after one on.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
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

/// What an owner may have, and has beside an upload, which nobody changes until the transaction
/// ends.
async fn weigh(
    transaction: &DatabaseTransaction,
    session: &Session,
    everybody: &Quota,
    held: &Usage,
    now: Timestamp,
) -> Result<(Quota, Usage, upload::Model)> {
    usage::charge(transaction, &session.owner, 0, 0).await?;
    let own = to_row(session)?.try_into_model()?;
    let (quota, usage) =
        usage::weigh(transaction, &session.owner, everybody, Some(&own), now).await?;
    Ok((quota, usage.plus(held), own))
}

/// Makes sure that there is room for what an upload is to become; what is made of others takes the
/// room that they have.
fn admit_file(quota: &Quota, usage: &Usage, upload: &upload::Model) -> Result<()> {
    let bytes = upload.length.unwrap_or_default().unsigned_abs();
    if upload.role == stored_role(Role::Part) {
        quota.admit_bytes(usage, bytes)?;
    } else if upload.role == stored_role(Role::Final) {
        quota.admit_file(usage, 0)?;
    } else {
        quota.admit_file(usage, bytes)?;
    }
    Ok(())
}

/// Locks a session's row, and gives it if it is open.
pub(crate) async fn lock_open(
    transaction: &DatabaseTransaction,
    id: RandomId,
) -> Result<Option<upload::Model>> {
    let row = by_id(id).lock(LockType::Update).one(transaction).await?;
    Ok(row.filter(|row| row.status == OPEN))
}

/// Removes the uploads that an upload was made of; their bytes have no upload then, and go.
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

/// Says what became of a session that was found open.
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

fn by_id(id: RandomId) -> sea_orm::Select<upload::Entity> {
    upload::Entity::find().filter(upload::Column::Id.eq(id.to_string()))
}

fn update_open(id: RandomId) -> sea_orm::UpdateMany<upload::Entity> {
    upload::Entity::update_many()
        .filter(upload::Column::Id.eq(id.to_string()))
        .filter(upload::Column::Status.eq(OPEN))
}
