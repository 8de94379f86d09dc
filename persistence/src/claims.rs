//! Claims: an owner's offer to prove the possession of a content.

use domain::{Claim, Owner, RandomId, Sha256, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};

use crate::{
    boxed,
    database::Database,
    entities::claim,
    error::{Error, Result},
    row::OrCorrupt as _,
    transaction::attempt,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_claim";

const OPEN: i32 = 0;
const USED: i32 = 1;

/// The repository of claims.
#[derive(Clone, Copy)]
pub struct Claims<'a>(&'a Database);

impl Database {
    /// The repository of claims.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        Claims(self)
    }
}

impl Claims<'_> {
    /// Adds a claim.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn insert(&self, claim: &Claim) -> Result<()> {
        let row = claim::ActiveModel {
            id: Set(claim.id.to_string()),
            owner: Set(claim.owner.to_string()),
            nonce: Set(Sha256::from(*claim.nonce.as_bytes()).to_string()),
            file_sha1: Set(claim.file_sha1.to_string()),
            file_sha256: Set(claim.file_sha256.map(|sha256| sha256.to_string())),
            file_size: Set(i64::try_from(claim.file_size).or_corrupt(TABLE)?),
            file_name: Set(claim.file_name.to_string()),
            content_type: Set(claim.content_type.to_string()),
            status: Set(OPEN),
            create_at: Set(claim.create_at.microseconds()),
            expires_at: Set(claim.expires_at.microseconds()),
        };
        let insert = || claim::Entity::insert(row.clone()).exec_without_returning(self.0.writing());
        attempt(insert).await.map(drop)
    }

    /// Finds the creation time of the claim that is `count` places before this one among its
    /// owner's claims after `since`; `None` if there are fewer.
    ///
    /// One index lookup that reads at most `count + 1` entries.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn find_before(
        &self,
        claim: &Claim,
        since: Timestamp,
        count: u64,
    ) -> Result<Option<Timestamp>> {
        let (own, id) = (claim.create_at.microseconds(), claim.id.to_string());
        let query = || {
            claim::Entity::find()
                .select_only()
                .column(claim::Column::CreateAt)
                .filter(claim::Column::Owner.eq(claim.owner.as_str()))
                .filter(claim::Column::CreateAt.gt(since.microseconds()))
                .filter(claim::Column::CreateAt.lte(own))
                .filter(
                    Condition::any()
                        .add(claim::Column::CreateAt.lt(own))
                        .add(claim::Column::Id.lte(&id)),
                )
                .order_by_desc(claim::Column::CreateAt)
                .order_by_desc(claim::Column::Id)
                .offset(count)
                .limit(1)
                .into_tuple::<i64>()
                .one(self.0.newest())
        };
        let found = attempt(query).await?;
        Ok(found.map(Timestamp::from_microseconds))
    }

    /// Removes a claim.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove(&self, id: RandomId) -> Result<()> {
        let remove = || {
            claim::Entity::delete_many()
                .filter(claim::Column::Id.eq(id.to_string()))
                .exec(self.0.writing())
        };
        attempt(remove).await.map(drop)
    }

    /// Marks an owner's claim as used, if it is unused and has not expired, and returns it.
    ///
    /// Of several concurrent requests, only one gets the claim.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn use_up(
        &self,
        owner: &Owner,
        id: RandomId,
        now: Timestamp,
    ) -> Result<Option<Claim>> {
        let find = || {
            claim::Entity::find()
                .filter(claim::Column::Id.eq(id.to_string()))
                .one(self.0.newest())
        };
        let is_readable = |row: &claim::Model| {
            row.owner == owner.as_str() && row.status == OPEN && row.expires_at > now.microseconds()
        };
        let Some(row) = attempt(find).await?.filter(is_readable) else {
            return Ok(None);
        };
        let take = || {
            claim::Entity::update_many()
                .col_expr(claim::Column::Status, Expr::val(USED))
                .filter(claim::Column::Id.eq(id.to_string()))
                .filter(claim::Column::Status.eq(OPEN))
                .exec(self.0.writing())
        };
        if attempt(take).await?.rows_affected == 0 {
            return Ok(None);
        }
        row.try_into().map(Some)
    }

    /// Removes the claims that expired before a given time.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove_expired(&self, before: Timestamp) -> Result<()> {
        let remove = || {
            claim::Entity::delete_many()
                .filter(claim::Column::ExpiresAt.lt(before.microseconds()))
                .exec(self.0.writing())
        };
        attempt(remove).await.map(drop)
    }
}

impl TryFrom<claim::Model> for Claim {
    type Error = Error;

    fn try_from(row: claim::Model) -> Result<Self> {
        let nonce: Sha256 = row.nonce.parse().or_corrupt(TABLE)?;
        Ok(Self {
            id: row.id.parse().or_corrupt(TABLE)?,
            owner: row.owner.parse().or_corrupt(TABLE)?,
            nonce: (*nonce.as_bytes()).into(),
            file_sha1: row.file_sha1.parse().or_corrupt(TABLE)?,
            file_sha256: row
                .file_sha256
                .as_deref()
                .map(str::parse)
                .transpose()
                .or_corrupt(TABLE)?,
            file_size: row.file_size.try_into().or_corrupt(TABLE)?,
            file_name: row.file_name.parse().or_corrupt(TABLE)?,
            content_type: row.content_type.parse().or_corrupt(TABLE)?,
            create_at: Timestamp::from_microseconds(row.create_at),
            expires_at: Timestamp::from_microseconds(row.expires_at),
        })
    }
}
