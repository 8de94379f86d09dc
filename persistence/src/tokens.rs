//! The service's own tokens, of which it stores only a hash.

use domain::{Owner, RandomId, Sha256, Timestamp, Token};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};

use crate::{
    boxed,
    database::Database,
    entities::token,
    error::{Error, Result},
    row::OrCorrupt as _,
    transaction::attempt,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_token";

/// The repository of tokens.
#[derive(Clone, Copy)]
pub struct Tokens<'a>(&'a Database);

impl Database {
    /// The repository of tokens.
    #[must_use]
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens(self)
    }
}

impl Tokens<'_> {
    /// Adds a token.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn insert(&self, token: &Token) -> Result<()> {
        let row = token::ActiveModel {
            id: Set(token.id.to_string()),
            hash: Set(token.hash.to_string()),
            owner: Set(token.owner.to_string()),
            scopes: Set(token.scopes.to_string()),
            label: Set(token.label.clone()),
            create_at: Set(token.create_at.microseconds()),
            expires_at: Set(token.expires_at.map(Timestamp::microseconds)),
            used_at: Set(token.used_at.map(Timestamp::microseconds)),
            revoke_at: Set(token.revoke_at.map(Timestamp::microseconds)),
        };
        let insert = || token::Entity::insert(row.clone()).exec_without_returning(self.0.writing());
        attempt(insert).await.map(drop)
    }

    /// Finds the token with this hash, in any state.
    ///
    /// One lookup by a unique index.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find(&self, hash: &Sha256) -> Result<Option<Token>> {
        let find = || {
            token::Entity::find()
                .filter(token::Column::Hash.eq(hash.to_string()))
                .one(self.0.reading())
        };
        let row = attempt(find).await?;
        row.map(Token::try_from).transpose()
    }

    /// Lists the tokens of one owner, or of all, oldest first.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list(&self, owner: Option<&Owner>) -> Result<Vec<Token>> {
        let list = || {
            let mut select = token::Entity::find()
                .order_by_asc(token::Column::CreateAt)
                .order_by_asc(token::Column::Id);
            if let Some(owner) = owner {
                QuerySelect::query(&mut select).and_where(token::Column::Owner.eq(owner.as_str()));
            }
            select.all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Revokes a token; returns whether it exists. Revoking it again changes nothing.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn revoke(&self, id: RandomId, at: Timestamp) -> Result<bool> {
        let revoke = || {
            token::Entity::update_many()
                .col_expr(token::Column::RevokeAt, Expr::val(at.microseconds()))
                .filter(token::Column::Id.eq(id.to_string()))
                .filter(token::Column::RevokeAt.is_null())
                .exec(self.0.writing())
        };
        if attempt(revoke).await?.rows_affected == 1 {
            return Ok(true);
        }
        let find = || token::Entity::find_by_id(id.to_string()).one(self.0.newest());
        Ok(attempt(find).await?.is_some())
    }

    /// Records the use of a token, unless a use after `unless_after` is recorded already.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn note_use(
        &self,
        id: RandomId,
        at: Timestamp,
        unless_after: Timestamp,
    ) -> Result<()> {
        let note = || {
            token::Entity::update_many()
                .col_expr(token::Column::UsedAt, Expr::val(at.microseconds()))
                .filter(token::Column::Id.eq(id.to_string()))
                .filter(
                    Condition::any()
                        .add(token::Column::UsedAt.is_null())
                        .add(token::Column::UsedAt.lte(unless_after.microseconds())),
                )
                .exec(self.0.writing())
        };
        attempt(note).await.map(drop)
    }
}

impl TryFrom<token::Model> for Token {
    type Error = Error;

    fn try_from(row: token::Model) -> Result<Self> {
        Ok(Self {
            id: row.id.parse().or_corrupt(TABLE)?,
            hash: row.hash.parse().or_corrupt(TABLE)?,
            owner: row.owner.parse().or_corrupt(TABLE)?,
            scopes: row.scopes.parse().or_corrupt(TABLE)?,
            label: row.label,
            create_at: Timestamp::from_microseconds(row.create_at),
            expires_at: row.expires_at.map(Timestamp::from_microseconds),
            used_at: row.used_at.map(Timestamp::from_microseconds),
            revoke_at: row.revoke_at.map(Timestamp::from_microseconds),
        })
    }
}
