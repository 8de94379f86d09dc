//! A response's body, whose bytes the access log counts.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};

use super::request_log::RequestLog;
use crate::{limits::body_timeout::UnreadBodyGuard, shutdown::InFlightGuard};

/// A body that counts its bytes, and logs the request when it ends or is dropped.
pub(super) struct CountedBody {
    body: BoxBody,
    log: RequestLog,
    _unread: Option<UnreadBodyGuard>,
    in_flight: Option<InFlightGuard>,
}

impl CountedBody {
    pub(super) fn new(
        body: BoxBody,
        log: RequestLog,
        unread: Option<UnreadBodyGuard>,
        in_flight: Option<InFlightGuard>,
    ) -> Self {
        Self {
            body,
            log,
            _unread: unread,
            in_flight,
        }
    }
}

impl MessageBody for CountedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        let next = {
            let _entered = this.log.span.enter();
            Pin::new(&mut this.body).poll_next(context)
        };
        match &next {
            Poll::Ready(Some(Ok(bytes))) => {
                this.log.add_sent(bytes.len());
                if let Some(in_flight) = &mut this.in_flight {
                    in_flight.add_sent(bytes.len());
                }
            }
            Poll::Ready(Some(Err(error))) => this.log.cut_off(&**error),
            _ => {}
        }
        next
    }
}
