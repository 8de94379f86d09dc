//! `fileserver quota`: shows and sets the quotas of owners.

use std::{fmt, io, process::ExitCode, str::FromStr};

use anyhow::Result;
use clap::Subcommand;
use domain::Owner;
use serde_json::json;
use service::{Allowance, FileService, Limit, OwnQuota};

use super::{Table, fail};
use crate::{
    open,
    settings::{Settings, SettingsError, quantity},
};

/// The operations on quotas.
#[derive(Subcommand)]
pub(crate) enum QuotaAction {
    /// List owners: name, bytes, limit of bytes, files, limit of files, limit of uploads.
    Show {
        /// List this owner only; its JSON includes running uploads and the bytes that they reserve.
        #[arg(long)]
        owner: Option<Owner>,
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Set the quota of an owner; limits that are not given stay unchanged.
    Set {
        /// The owner.
        #[arg(long)]
        owner: Owner,
        /// The limit of bytes of all files: a size such as `10GB`, `none` for no limit, or `default` for
        /// the limit of the settings.
        #[arg(long, value_name = "SIZE", value_parser = Choice::of_bytes)]
        bytes: Option<Choice>,
        /// The limit of files: a number, `none` or `default`.
        #[arg(long, value_name = "NUMBER")]
        files: Option<Choice>,
        /// The limit of running uploads: a number, `none` or `default`.
        #[arg(long, value_name = "NUMBER")]
        uploads: Option<Choice>,
    },
    /// Recount the usage of one owner or of all, and correct the stored counts.
    ///
    /// This is needed only after a release without quotas ran beside this one: it does not count.
    Recount {
        /// Recount this owner only.
        #[arg(long)]
        owner: Option<Owner>,
    },
}

/// A limit on the command line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Choice {
    Default,
    Own(Limit),
}

impl FromStr for Choice {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        match text {
            "default" => Ok(Self::Default),
            "none" => Ok(Self::Own(Limit::Unlimited)),
            number => match number.parse() {
                Ok(limit) => Self::at_most(limit),
                Err(_) => Err(SettingsError::new("must be a number, `none` or `default`")),
            },
        }
    }
}

impl Choice {
    /// A limit of bytes, which may have a unit.
    fn of_bytes(text: &str) -> Result<Self, SettingsError> {
        match text {
            "default" | "none" => text.parse(),
            size => Self::at_most(quantity::bytes(size)?),
        }
    }

    fn at_most(limit: u64) -> Result<Self, SettingsError> {
        if limit >= i64::MAX.unsigned_abs() {
            return Err(SettingsError::new("is too large"));
        }
        Ok(Self::Own(Limit::AtMost(limit)))
    }

    fn or_current(choice: Option<Self>, current: Option<Limit>) -> Option<Limit> {
        match choice {
            None => current,
            Some(Self::Default) => None,
            Some(Self::Own(limit)) => Some(limit),
        }
    }
}

#[actix_web::main]
pub(crate) async fn run(settings: &Settings, action: &QuotaAction) -> ExitCode {
    match open_and_run(settings, action).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn open_and_run(settings: &Settings, action: &QuotaAction) -> Result<()> {
    let service = open::existing_service(settings).await?;
    let result = run_action(&service, action).await;
    service.close().await;
    result
}

async fn run_action(service: &FileService, action: &QuotaAction) -> Result<()> {
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
                bytes: Choice::or_current(*bytes, own.bytes),
                files: Choice::or_current(*files, own.files),
                uploads: Choice::or_current(*uploads, own.uploads),
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
        &ShownLimit(quota.bytes),
        &usage.files,
        &ShownLimit(quota.files),
        &ShownLimit(quota.uploads),
    ])
}

/// A limit, shown as `none` if there is none.
struct ShownLimit(Option<u64>);

impl fmt::Display for ShownLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => limit.fmt(f),
            None => f.write_str("none"),
        }
    }
}
