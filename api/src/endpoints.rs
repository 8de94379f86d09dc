//! One file for each operation; its name is the file's, the handler's and the contract's.

pub(crate) mod append_tus_upload;
pub(crate) mod append_upload;
pub(crate) mod cancel_transfer;
pub(crate) mod check_health;
pub(crate) mod check_readiness;
pub(crate) mod claim_file;
pub(crate) mod create_tus_upload;
pub(crate) mod download_file;
pub(crate) mod find_file;
pub(crate) mod find_transfer;
pub(crate) mod follow_link;
pub(crate) mod inspect_tus_upload;
pub(crate) mod inspect_upload;
pub(crate) mod list_files;
pub(crate) mod list_transfers;
pub(crate) mod offer_resumption;
pub(crate) mod offer_tus;
pub(crate) mod prove_claim;
pub(crate) mod put_file;
pub(crate) mod read_contract;
pub(crate) mod read_metrics;
pub(crate) mod read_usage;
pub(crate) mod remove_file;
pub(crate) mod remove_tus_upload;
pub(crate) mod remove_upload;
pub(crate) mod share_file;
pub(crate) mod start_transfer;
pub(crate) mod unshare_file;
pub(crate) mod update_file;
pub(crate) mod upload_file;

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{self, ETag},
};
use service::Entry;
use utoipa::ToSchema;

use crate::{http::conditional::entry_tag, observe::Stored};

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it only tells the contract what bytes look like")]
pub(crate) struct FileContent(Vec<u8>);

/// Answers with what is told about a file.
fn describe(mut response: HttpResponseBuilder, entry: &Entry) -> HttpResponse {
    identify(&mut response, entry);
    let mut response = response.json(&entry.meta);
    response
        .extensions_mut()
        .insert(Stored(entry.meta.file_sha1));
    response
}

/// Says which version of an entry an answer is about, and that it may be another next time.
fn identify(response: &mut HttpResponseBuilder, entry: &Entry) {
    response
        .insert_header(ETag(entry_tag(entry)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"));
}
