//! `fileserver token`: makes, lists and revokes tokens.

use std::{io, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Subcommand;
use domain::{Owner, RandomId, Scope};
use serde_json::json;
use service::{FileService, NewToken, Token, TokenState};

use super::{Table, fail};
use crate::{open, settings::Settings};

/// What to do with tokens.
#[derive(Subcommand)]
pub(crate) enum TokenAction {
    /// Make a token, and print it: it is not shown again.
    Create {
        /// For whom it speaks.
        #[arg(long)]
        owner: Owner,
        /// What it allows: `files:read`, `files:write`, `metrics:read`, and `admin`, which may act
        /// for any owner; separated by commas.
        #[arg(long, value_delimiter = ',', required = true, value_name = "SCOPES")]
        scope: Vec<Scope>,
        /// How long it can be used, such as `90d` or `12h`; for ever unless given.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
        /// What it is for.
        #[arg(long, default_value = "", value_parser = label)]
        label: String,
    },
    /// List tokens, oldest first: id, owner, scopes, made, expires, last used, state, label.
    List {
        /// Those of one owner only.
        #[arg(long)]
        owner: Option<Owner>,
        /// As JSON, one object a line.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token: within a second it lets nobody in.
    Revoke {
        /// Its id, as it is listed.
        id: RandomId,
    },
}

#[actix_web::main]
pub(crate) async fn run(settings: &Settings, action: &TokenAction) -> ExitCode {
    match act(settings, action).await {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn act(settings: &Settings, action: &TokenAction) -> Result<ExitCode> {
    let service = open::service(settings).await?;
    let acted = perform(&service, action).await;
    service.close().await;
    acted
}

async fn perform(service: &FileService, action: &TokenAction) -> Result<ExitCode> {
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
                "token {} of {}, which is shown only now:",
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
        let state = name(token.state(service.now()));
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

fn name(state: TokenState) -> &'static str {
    match state {
        TokenState::Valid => "good",
        TokenState::Expired => "expired",
        TokenState::Revoked => "revoked",
    }
}

/// A label is one line that can be stored.
fn label(text: &str) -> Result<String, String> {
    if text.len() > Owner::MAX_BYTES || text.chars().any(char::is_control) {
        return Err("a label is one line of at most 255 bytes".to_owned());
    }
    Ok(text.to_owned())
}
