//! Operations on the caller's files: listing, renaming and deleting.

use std::cell::Cell;

use domain::{FileMeta, FileName, Sha1};
use reqwest::{Method, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;

use crate::{connection::Client, error::ClientError, exchange::read_json};

/// The selection of a listing.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Only files with this text in their name, regardless of case.
    pub name: Option<String>,
    /// Deleted files that can be restored, instead of the available ones.
    pub deleted: bool,
    /// The largest number of files in one page; at most 1000.
    pub limit: Option<u64>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

/// One page of a listing, newest files first.
#[derive(Debug, Deserialize)]
pub struct FilePage {
    /// The files. A page of a search can be short, or empty, and have a next one.
    pub files: Vec<FileMeta>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<String>,
}

impl Client {
    /// Lists the caller's files, one page at a time.
    ///
    /// # Errors
    ///
    /// If the server refuses the request.
    pub async fn list(&self, options: &ListOptions) -> Result<FilePage, ClientError> {
        let mut query = Vec::new();
        query.extend(options.limit.map(|limit| ("limit", limit.to_string())));
        if options.deleted {
            query.push(("status", "deleted".to_owned()));
        }
        query.extend(options.name.clone().map(|name| ("name", name)));
        query.extend(options.cursor.clone().map(|cursor| ("cursor", cursor)));
        let request = || self.request(Method::GET, "files").query(&query);
        read_json(self.send_with_retry(request).await?).await
    }

    /// Renames a file.
    ///
    /// # Errors
    ///
    /// If there is no such file, or the server refuses the request.
    pub async fn rename(&self, sha1: &Sha1, name: &FileName) -> Result<(), ClientError> {
        let patch = json!({ "file_name": name }).to_string();
        let request = || {
            let request = self.request(Method::PATCH, &format!("files/{sha1}"));
            let request = request.header(CONTENT_TYPE, "application/merge-patch+json");
            request.body(patch.clone())
        };
        self.send_with_retry(request).await.map(drop)
    }

    /// Deletes a file; with `purge` it cannot be restored.
    ///
    /// # Errors
    ///
    /// If there is no such file, or the server refuses the request.
    pub async fn remove(&self, sha1: &Sha1, purge: bool) -> Result<(), ClientError> {
        let attempts = Cell::new(0);
        let request = || {
            attempts.set(attempts.get() + 1);
            let request = self.request(Method::DELETE, &format!("files/{sha1}"));
            if purge {
                request.query(&[("purge", "true")])
            } else {
                request
            }
        };
        match self.send_with_retry(request).await {
            // An earlier attempt deleted the file, and its response was lost.
            Err(error) if error.is_gone() && attempts.get() > 1 => Ok(()),
            result => result.map(drop),
        }
    }
}
