//! A body whose visitor gets back what was taken and not sent.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};
use service::{FileService, Visit};

/// A body that is sent to a visitor of a link.
pub(super) struct MeteredBody {
    body: BoxBody,
    unsent: u64,
    visit: Visit,
    service: FileService,
}

impl MeteredBody {
    /// A body for which `taken` bytes were taken.
    pub(super) fn new(body: BoxBody, taken: u64, visit: Visit, service: FileService) -> Self {
        Self {
            body,
            unsent: taken,
            visit,
            service,
        }
    }
}

impl MessageBody for MeteredBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.unsent = self.unsent.saturating_sub(bytes.len() as u64);
        }
        polled
    }
}

impl Drop for MeteredBody {
    fn drop(&mut self) {
        if self.unsent > 0 {
            self.service
                .give_back_later(self.visit.clone(), self.unsent);
        }
    }
}
