//! A file that is the whole body of its request.

use actix_web::{http::header::HeaderMap, web::Payload};
use catalog::Expected;
use domain::{FileName, MediaType};
use futures_util::StreamExt as _;

use super::{Arrived, broken_off, only_one, unnamed};
use crate::{
    http::{
        body::content_length,
        digest_fields::{self, CONTENT_DIGEST},
        disposition,
    },
    problem::{Place, Problem},
    service::Service,
};

pub(super) async fn read(
    service: &Service,
    headers: &HeaderMap,
    mut payload: Payload,
    named: Option<FileName>,
    content_type: MediaType,
    announced: Expected,
) -> Result<Arrived, Problem> {
    let file_name =
        only_one(named, disposition::file_name(headers, Place::Header)?)?.ok_or_else(|| {
            unnamed("give the file a name: `?file_name=`, or a Content-Disposition field")
        })?;
    // Nothing is wrapped around the file, so the digest of the one is that of the other.
    let of_message = digest_fields::read(headers, &CONTENT_DIGEST, Place::Header)?;
    let expected = digest_fields::join(announced, of_message)?;
    refuse_too_large(headers, service.catalog.limits().max_upload_size)?;

    let mut upload = service.catalog.upload();
    while let Some(bytes) = payload.next().await {
        let bytes = bytes.map_err(|error| broken_off(&error))?;
        service.metrics.received(bytes.len());
        upload.write(&bytes).await?;
    }
    Ok(Arrived {
        upload,
        file_name,
        content_type,
        expected,
    })
}

/// Spares the client the sending of what is not taken.
fn refuse_too_large(headers: &HeaderMap, limit: Option<u64>) -> Result<(), Problem> {
    let announced = content_length(headers);
    match (announced, limit) {
        (Some(announced), Some(limit)) if announced > limit => {
            Err(catalog::Error::TooLarge(limit).into())
        }
        _ => Ok(()),
    }
}
