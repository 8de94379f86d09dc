//! Tokens that the service issues.

use std::time::Duration;

use domain::{Owner, RandomId, Scopes, Sha256, Timestamp, Token, TokenState, TokenText};
use sha2::Digest as _;

use crate::{Error, FileService, Result, boxed, random::random_id};

/// Precision of the time of a token's last use.
const LAST_USED_INTERVAL: Duration = Duration::from_mins(1);

/// Parameters of a new token.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Owner that the token authenticates.
    pub owner: Owner,
    /// Permissions of the token.
    pub scopes: Scopes,
    /// Purpose of the token.
    pub label: String,
    /// Lifetime, if limited.
    pub lifetime: Option<Duration>,
}

impl FileService {
    /// Creates a token and returns its text, which is not stored and cannot be recovered.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
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

    /// Lists the tokens of one owner, or all tokens, oldest first.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn list_tokens(&self, owner: Option<&Owner>) -> Result<Vec<Token>> {
        Ok(self.0.database.tokens().list(owner).await?)
    }

    /// Revokes a token; returns whether it exists.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn revoke_token(&self, id: RandomId) -> Result<bool> {
        let now = self.0.clock.now();
        Ok(self.0.database.tokens().revoke(id, now).await?)
    }

    /// Finds a token and its current state, and records its use.
    ///
    /// # Errors
    ///
    /// When the database fails, so that the state of the token is unknown.
    #[boxed]
    pub async fn find_token(&self, text: &TokenText) -> Result<Option<(Token, TokenState)>> {
        let found = self.0.database.tokens().find(&hash(text)).await?;
        let now = self.0.clock.now();
        Ok(found.map(|token| {
            let state = token.state(now);
            if state == TokenState::Valid {
                self.note_use(&token, now);
            }
            (token, state)
        }))
    }

    /// Records the use of a token in the background.
    fn note_use(&self, token: &Token, now: Timestamp) {
        let noted_before = now.before(LAST_USED_INTERVAL);
        if token.used_at.is_some_and(|used_at| used_at > noted_before) {
            return;
        }
        let (database, id) = (self.0.database.clone(), token.id);
        tokio::spawn(async move {
            let tokens = database.tokens();
            if let Err(error) = tokens.note_use(id, now, noted_before).await {
                tracing::warn!(token = %id, %error, "could not record the use of the token");
            }
        });
    }
}

/// Hash of a token, which is stored. The secret is random with as many bits as the hash, so a
/// slower hash would not protect it better.
fn hash(text: &TokenText) -> Sha256 {
    let digest: [u8; 32] = sha2::Sha256::digest(text.reveal()).into();
    digest.into()
}
