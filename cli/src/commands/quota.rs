//! `fileserver quota`: shows and sets how much owners may have.

use std::{fmt, io, process::ExitCode, str::FromStr};

use anyhow::Result;
use clap::Subcommand;
use domain::Owner;
use serde_json::json;
use service::{Allowance, FileService, Limit, OwnQuota};

use super::{Table, fail};
use crate::{open, settings::Settings};

/// What to do with quotas.
#[derive(Subcommand)]
pub(crate) enum QuotaAction {
    /// List owners: name, bytes and the most of them, files and the most of them, most uploads.
    Show {
        /// This one only, with what running uploads take.
        #[arg(long)]
        owner: Option<Owner>,
        /// As JSON, one object a line.
        #[arg(long)]
        json: bool,
    },
    /// Give an owner a quota of its own; what is not named stays as it is.
    Set {
        /// Whose quota.
        #[arg(long)]
        owner: Owner,
        /// The most bytes of all files: a number, `none` for no limit, or `default` for the
        /// setting's.
        #[arg(long, value_name = "NUMBER")]
        bytes: Option<Choice>,
        /// The most files.
        #[arg(long, value_name = "NUMBER")]
        files: Option<Choice>,
        /// The most running uploads.
        #[arg(long, value_name = "NUMBER")]
        uploads: Option<Choice>,
    },
    /// Count anew what an owner has, or all do, and mend the counts.
    ///
    /// They do not go wrong by themselves; a release of before that runs beside this one does not
    /// count.
    Recount {
        /// This one only.
        #[arg(long)]
        owner: Option<Owner>,
    },
}

/// A limit that is chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Choice {
    Default,
    Own(Limit),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(Self::Default),
            "none" => Ok(Self::Own(Limit::Unlimited)),
            number => match number.parse::<i64>() {
                Ok(most) if (0..i64::MAX).contains(&most) => {
                    Ok(Self::Own(Limit::AtMost(most.unsigned_abs())))
                }
                _ => Err("it is a number, `none` or `default`".to_owned()),
            },
        }
    }
}

impl Choice {
    fn over(choice: Option<Self>, before: Option<Limit>) -> Option<Limit> {
        match choice {
            None => before,
            Some(Self::Default) => None,
            Some(Self::Own(limit)) => Some(limit),
        }
    }
}

#[actix_web::main]
pub(crate) async fn run(settings: &Settings, action: &QuotaAction) -> ExitCode {
    match act(settings, action).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn act(settings: &Settings, action: &QuotaAction) -> Result<()> {
    let service = open::service(settings).await?;
    let acted = perform(&service, action).await;
    service.close().await;
    acted
}

async fn perform(service: &FileService, action: &QuotaAction) -> Result<()> {
    match action {
        QuotaAction::Show { owner, json } => show(service, owner.as_ref(), *json).await,
        QuotaAction::Set {
            owner,
            bytes,
            files,
            uploads,
        } => {
            let own = service.find_usage(owner).await?.own;
            let quota = OwnQuota {
                bytes: Choice::over(*bytes, own.bytes),
                files: Choice::over(*files, own.files),
                uploads: Choice::over(*uploads, own.uploads),
            };
            Ok(service.set_quota(owner, &quota).await?)
        }
        QuotaAction::Recount { owner } => {
            let miscounts = match owner {
                Some(owner) => service.recount(owner).await?.into_iter().collect(),
                None => service.recount_all().await?,
            };
            for miscount in miscounts {
                let (bytes, files) = miscount.found;
                println!("{} has {bytes} bytes in {files} files", miscount.owner);
            }
            Ok(())
        }
    }
}

async fn show(service: &FileService, owner: Option<&Owner>, as_json: bool) -> Result<()> {
    let mut table = Table::new(io::stdout().lock());
    if let Some(owner) = owner {
        let allowance = service.find_usage(owner).await?;
        return print(&mut table, owner, &allowance, as_json);
    }
    let mut after = None;
    loop {
        let owners = service.list_usage(after.as_ref()).await?;
        let Some((last, _)) = owners.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for (owner, allowance) in &owners {
            print(&mut table, owner, allowance, as_json)?;
        }
    }
}

fn print(
    table: &mut Table<impl io::Write>,
    owner: &Owner,
    allowance: &Allowance,
    as_json: bool,
) -> Result<()> {
    let Allowance { usage, quota, .. } = allowance;
    if as_json {
        return table.line(&json!({
            "owner": owner.as_str(),
            "bytes": usage.bytes,
            "files": usage.files,
            "uploads": usage.uploads,
            "reserved_bytes": usage.reserved_bytes,
            "quota": {
                "bytes": quota.bytes,
                "files": quota.files,
                "uploads": quota.uploads,
            },
        }));
    }
    table.row(&[
        owner,
        &usage.bytes,
        &Most(quota.bytes),
        &usage.files,
        &Most(quota.files),
        &Most(quota.uploads),
    ])
}

/// A limit, or that there is none.
struct Most(Option<u64>);

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(most) => most.fmt(f),
            None => f.write_str("none"),
        }
    }
}
