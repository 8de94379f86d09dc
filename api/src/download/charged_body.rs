//! A response's body that was charged to a visit of a link.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};
use domain::{ByteRange, ErrorChain};
use service::ChargedVisit;
use tokio::runtime::Handle;

/// Time after which the end of a response is noted even if all of its bytes were sent, since the
/// visit lasts until then.
const LONG: Duration = Duration::from_secs(10);

/// A body that credits the visit for the bytes that were charged and not sent.
pub(super) struct ChargedBody {
    body: BoxBody,
    /// Taken when the body is dropped.
    visit: Option<ChargedVisit>,
    range: ByteRange,
    sent: u64,
    began: Instant,
}

impl ChargedBody {
    pub(super) fn new(body: BoxBody, visit: ChargedVisit, range: ByteRange) -> Self {
        Self {
            body,
            visit: Some(visit),
            range,
            sent: 0,
            began: Instant::now(),
        }
    }
}

impl MessageBody for ChargedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        let next = Pin::new(&mut this.body).poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &next {
            this.sent += bytes.len() as u64;
        }
        next
    }
}

impl Drop for ChargedBody {
    fn drop(&mut self) {
        if self.sent >= self.range.length() && self.began.elapsed() < LONG {
            return;
        }
        let (Some(visit), Ok(runtime)) = (self.visit.take(), Handle::try_current()) else {
            return;
        };
        let (range, sent) = (self.range, self.sent);
        runtime.spawn(async move {
            if let Err(error) = visit.give_back(range, sent).await {
                let error = ErrorChain(&error);
                tracing::warn!(%error, "could not give back the unsent bytes of a link's download");
            }
        });
    }
}
