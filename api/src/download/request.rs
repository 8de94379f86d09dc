//! A request for a file's bytes.

use domain::{Entry, Owner};
use service::LinkedFile;

use crate::{extract::query::Query, problem::Problem, state::AppState};

/// An authorized request for a file's bytes.
pub(crate) struct DownloadRequest<'a> {
    pub(crate) state: &'a AppState,
    /// The file's owner.
    pub(crate) owner: &'a Owner,
    pub(crate) entry: Entry,
    /// Whether the client asks to display the file rather than to save it.
    pub(crate) inline: bool,
    /// The link that allows the request, where it has no credentials.
    pub(crate) link: Option<&'a LinkedFile>,
}

/// Reads `disposition` from the query.
pub(crate) fn read_disposition(query: &mut Query) -> Result<Option<bool>, Problem> {
    match query.one("disposition")?.as_deref() {
        None => Ok(None),
        Some("attachment") => Ok(Some(false)),
        Some("inline") => Ok(Some(true)),
        Some(_) => {
            let detail = "`disposition` must be `attachment` or `inline`";
            Err(Problem::query("disposition", detail))
        }
    }
}
