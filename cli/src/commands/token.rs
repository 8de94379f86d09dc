//! `fileserver token`: creates, lists and revokes access tokens.

use std::{io, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Subcommand;
use domain::{Owner, RandomId, Scope};
use serde_json::json;
use service::{FileService, NewToken, Token, TokenState};

use super::{Table, fail};
use crate::{
    open,
    settings::{Settings, SettingsError},
};

/// The operations on access tokens.
#[derive(Subcommand)]
pub(crate) enum TokenAction {
    /// Create a token, and print it; it is not shown again.
    Create {
        /// The owner whose files the token gives access to.
        #[arg(long)]
        owner: Owner,
        /// The scopes of the token, separated by commas: `files:read`, `files:write`, `metrics:read`, and
        /// `admin`, which may act for any owner.
        #[arg(long, value_delimiter = ',', required = true, value_name = "SCOPES")]
        scope: Vec<Scope>,
        /// The lifetime of the token, such as `90d` or `12h`. Default: unlimited.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
        /// The purpose of the token, as one line of at most 255 bytes.
        #[arg(long, default_value = "", value_parser = label)]
        label: String,
    },
    /// List tokens, oldest first: id, owner, scopes, created, expires, last used, state, label.
    List {
        /// List the tokens of this owner only.
        #[arg(long)]
        owner: Option<Owner>,
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token; after at most one second it is not accepted anywhere.
    Revoke {
        /// The id of the token, as listed.
        id: RandomId,
    },
}

#[actix_web::main]
pub(crate) async fn run(settings: &Settings, action: &TokenAction) -> ExitCode {
    match open_and_run(settings, action).await {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn open_and_run(settings: &Settings, action: &TokenAction) -> Result<ExitCode> {
    let service = open::existing_service(settings).await?;
    let result = run_action(&service, action).await;
    service.close().await;
    result
}

async fn run_action(service: &FileService, action: &TokenAction) -> Result<ExitCode> {
    match action {
        TokenAction::Create {
            owner,
            scope,
            expires,
            label,
        } => {
            let new = NewToken {
                owner: owner.clone(),
                scopes: scope.iter().copied().collect(),
                label: label.clone(),
                lifetime: *expires,
            };
            let (text, token) = service.create_token(new).await?;
            eprintln!(
                "token {} of {}; it is not shown again:",
                token.id, token.owner
            );
            println!("{}", text.reveal());
        }
        TokenAction::List { owner, json } => {
            let tokens = service.list_tokens(owner.as_ref()).await?;
            list(service, &tokens, *json)?;
        }
        TokenAction::Revoke { id } => {
            if !service.revoke_token(*id).await? {
                eprintln!("fileserver: there is no token {id}");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(service: &FileService, tokens: &[Token], as_json: bool) -> Result<()> {
    let mut table = Table::new(io::stdout().lock());
    for token in tokens {
        let state = state_name(token.state(service.now()));
        if as_json {
            table.line(&json!({
                "id": token.id.to_string(),
                "owner": token.owner.as_str(),
                "scopes": token.scopes.to_string(),
                "label": token.label,
                "create_at": token.create_at,
                "expires_at": token.expires_at,
                "used_at": token.used_at,
                "revoke_at": token.revoke_at,
                "state": state,
            }))?;
            continue;
        }
        let or_never = |moment: Option<domain::Timestamp>| {
            moment.map_or_else(|| "never".to_owned(), |moment| moment.to_string())
        };
        table.row(&[
            &token.id,
            &token.owner,
            &token.scopes.to_string().replace(' ', ","),
            &token.create_at,
            &or_never(token.expires_at),
            &or_never(token.used_at),
            &state,
            &token.label,
        ])?;
    }
    Ok(())
}

fn state_name(state: TokenState) -> &'static str {
    match state {
        TokenState::Valid => "good",
        TokenState::Expired => "expired",
        TokenState::Revoked => "revoked",
    }
}

/// Parses a label: one line that the database can store.
fn label(text: &str) -> Result<String, SettingsError> {
    if text.len() > Owner::MAX_BYTES || text.chars().any(char::is_control) {
        return Err(SettingsError::new(
            "a label must be one line of at most 255 bytes",
        ));
    }
    Ok(text.to_owned())
}
