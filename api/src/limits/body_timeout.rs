//! Cutting off request bodies that arrive too slowly.

use std::{
    cell::RefCell,
    future::Future as _,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{dev::Payload, error::PayloadError, web::Bytes};
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection::Interim;

/// The lowest rate of a request's body.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout {
    /// The longest time without the first byte.
    pub first: Duration,
    /// The longest time without a byte.
    pub idle: Duration,
    /// The average rate, in bytes a second. The time of `idle` is granted on top of it.
    pub bytes_per_second: u32,
}

/// Keeps a body that its handler may leave unread.
///
/// actix-web reads the rest of a dropped body, however long it is. While this guard lives, it closes the
/// connection instead, once the response is sent.
pub(crate) struct UnreadBodyGuard(
    #[expect(dead_code, reason = "it is only held")] Rc<RefCell<Payload>>,
);

impl BodyTimeout {
    /// Wraps a body in a timeout; the guard must live until the response has been sent.
    ///
    /// A client that waits to be asked for the body is asked when the handler wants it.
    pub(crate) fn apply(
        self,
        payload: Payload,
        interim: Option<Interim>,
    ) -> (Payload, Option<UnreadBodyGuard>) {
        if matches!(payload, Payload::None) {
            return (payload, None);
        }
        let shared = Rc::new(RefCell::new(payload));
        let payload = Box::pin(TimedBody::new(self, Rc::clone(&shared), interim));
        (Payload::Stream { payload }, Some(UnreadBodyGuard(shared)))
    }
}

/// A body with a deadline, which each byte defers a little.
///
/// Only the time in which the handler waits for the body counts.
struct TimedBody {
    pace: BodyTimeout,
    payload: Rc<RefCell<Payload>>,
    /// The way to ask for the body, until it was asked for.
    interim: Option<Interim>,
    deadline: Instant,
    has_begun: bool,
    /// The time since which the handler has not waited.
    unasked_since: Option<Instant>,
    /// Reset only after it has fired, which is cheaper than a reset for every piece.
    timer: Pin<Box<Sleep>>,
    is_over: bool,
}

impl TimedBody {
    fn new(pace: BodyTimeout, payload: Rc<RefCell<Payload>>, interim: Option<Interim>) -> Self {
        let now = Instant::now();
        let deadline = now + pace.first.min(pace.idle);
        Self {
            has_begun: false,
            pace,
            payload,
            interim,
            deadline,
            unasked_since: Some(now),
            timer: Box::pin(sleep_until(deadline)),
            is_over: false,
        }
    }

    fn earn(&mut self, bytes: usize) {
        let rate = f64::from(self.pace.bytes_per_second.max(1));
        #[expect(clippy::cast_precision_loss, reason = "no piece has so many bytes")]
        let earned = Duration::from_secs_f64(bytes as f64 / rate);
        let now = Instant::now();
        if !self.has_begun {
            self.has_begun = true;
            self.deadline = now + self.pace.idle;
        }
        self.deadline = (self.deadline + earned).min(now + self.pace.idle);
        self.unasked_since = Some(now);
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(context).is_ready() {
            if self.deadline <= Instant::now() {
                return true;
            }
            self.timer.as_mut().reset(self.deadline);
        }
        false
    }
}

impl Stream for TimedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        if let Some(since) = this.unasked_since.take() {
            this.deadline += since.elapsed();
        }
        if let Some(interim) = this.interim.take() {
            interim.ask_for_body();
        }
        let polled = Pin::new(&mut *this.payload.borrow_mut()).poll_next(context);
        match polled {
            Poll::Ready(Some(Ok(bytes))) => {
                this.earn(bytes.len());
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(other) => Poll::Ready(other),
            Poll::Pending if this.is_late(context) => {
                this.is_over = true;
                let error = io::Error::from(io::ErrorKind::TimedOut);
                Poll::Ready(Some(Err(PayloadError::Io(error))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Returns whether a body was cut off because it arrived too slowly.
pub(crate) fn is_too_slow(error: &PayloadError) -> bool {
    matches!(error, PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}
