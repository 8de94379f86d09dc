//! The service's own tokens: who makes one, for whom, and what became of it.

use std::time::Duration;

use domain::{Owner, RandomId, Scopes, Sha256, Timestamp, TokenText};
use persistence::{Token, TokenState};
use sha2::Digest as _;

use crate::{Error, FileService, Result, random::random_id};

/// How exactly it is known when a token was used last.
const LAST_USED_INTERVAL: Duration = Duration::from_mins(1);

/// A token that is to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// For whom it speaks.
    pub owner: Owner,
    /// What it allows.
    pub scopes: Scopes,
    /// What it is for.
    pub label: String,
    /// How long it can be used, if not for ever.
    pub lifetime: Option<Duration>,
}

impl FileService {
    /// Makes a token, and gives its text, which nobody can find out later.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn create_token(&self, new: NewToken) -> Result<(TokenText, Token)> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| Error::Interrupted)?;
        let text = TokenText::new(secret);
        let now = self.0.clock.now();
        let token = Token {
            id: random_id()?,
            hash: hash(&text),
            owner: new.owner,
            scopes: new.scopes,
            label: new.label,
            create_at: now,
            expires_at: new.lifetime.map(|lifetime| now.after(lifetime)),
            used_at: None,
            revoke_at: None,
        };
        self.0.database.tokens().insert(&token).await?;
        Ok((text, token))
    }

    /// Lists the tokens of one owner, or of all, oldest first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_tokens(&self, owner: Option<&Owner>) -> Result<Vec<Token>> {
        Ok(self.0.database.tokens().list(owner).await?)
    }

    /// Revokes a token, and gives whether there is one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn revoke_token(&self, id: RandomId) -> Result<bool> {
        let now = self.0.clock.now();
        Ok(self.0.database.tokens().revoke(id, now).await?)
    }

    /// Finds a token and what it is worth at this moment, and notes that it was used.
    ///
    /// # Errors
    ///
    /// When the database fails: that says nothing about the token.
    pub async fn find_token(&self, text: &TokenText) -> Result<Option<(Token, TokenState)>> {
        let found = self.0.database.tokens().find(&hash(text)).await?;
        let now = self.0.clock.now();
        Ok(found.map(|token| {
            let state = token.state(now);
            if state == TokenState::Good {
                self.note_use(&token, now);
            }
            (token, state)
        }))
    }

    /// BucketIndex that a token was used; no request waits for that.
    fn note_use(&self, token: &Token, now: Timestamp) {
        let noted_before = now.before(LAST_USED_INTERVAL);
        if token.used_at.is_some_and(|used_at| used_at > noted_before) {
            return;
        }
        let (database, id) = (self.0.database.clone(), token.id);
        tokio::spawn(async move {
            let tokens = database.tokens();
            if let Err(error) = tokens.note_use(id, now, noted_before).await {
                tracing::warn!(token = %id, %error, "that a token was used could not be noted");
            }
        });
    }
}

/// What is kept of a token. The secret is as random as the hash, so that a slower one would
/// protect it no better.
fn hash(text: &TokenText) -> Sha256 {
    let digest: [u8; 32] = sha2::Sha256::digest(text.reveal()).into();
    digest.into()
}
