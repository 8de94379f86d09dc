//! The bytes between actix-http's dispatcher of HTTP/1 and the transport.
//!
//! The dispatcher writes a response as soon as it has one, and flushes when it has written everything.
//! So a flush is the moment at which an interim response can be sent: no part of another response is
//! waiting then.
//!
//! The dispatcher answers a request that it cannot read with an empty response, and ends in the same
//! step. So an empty response of this kind is held back until the end of the step: if the dispatcher
//! goes on, it is sent, and otherwise a problem takes its place.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_http::Response;
use actix_web::{body::BoxBody, web::BytesMut};
use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    ConnectionContext, Interim, answer::Answering, old_request::OldRequest, transport::Transport,
};
use crate::shutdown::Connection;

/// The longest head of a response of the dispatcher's own, in bytes.
const MAX_REFUSAL: usize = 256;

/// The status lines of the responses of the dispatcher's own.
const REFUSALS: [(u16, &[u8]); 3] = [
    (400, b"HTTP/1.1 400 Bad Request\r\n"),
    (408, b"HTTP/1.1 408 Request Timeout\r\n"),
    (431, b"HTTP/1.1 431 Request Header Fields Too Large\r\n"),
];

/// A transport that the dispatcher shares with those who watch over it.
#[derive(Clone)]
pub(super) struct Link(Rc<Shared>);

struct Shared {
    state: RefCell<State>,
    /// The response in the making. The dispatcher drops its own future when a body is malformed.
    answering: RefCell<Option<Answering>>,
    /// Whether a request has arrived.
    has_begun: Cell<bool>,
    connection: Arc<Connection>,
    is_tls: bool,
}

struct State {
    transport: Transport,
    /// What the first request needs to be read.
    old_request: OldRequest,
    /// Bytes of it that the dispatcher has not taken yet.
    arrived: BytesMut,
    /// Interim responses to the current request, none of whose bytes are written.
    waiting: BytesMut,
    /// The rest of bytes that must be written before any others.
    begun: BytesMut,
    /// A response that may be the dispatcher's own.
    held: BytesMut,
    /// Whether the dispatcher has written everything that it had.
    is_flushed: bool,
}

impl Link {
    pub(super) fn new(transport: Transport, connection: Arc<Connection>) -> Self {
        let is_tls = matches!(transport, Transport::Tls(_));
        Self(Rc::new(Shared {
            state: RefCell::new(State {
                transport,
                old_request: OldRequest::default(),
                arrived: BytesMut::new(),
                waiting: BytesMut::new(),
                begun: BytesMut::new(),
                held: BytesMut::new(),
                is_flushed: true,
            }),
            answering: RefCell::default(),
            has_begun: Cell::new(false),
            connection,
            is_tls,
        }))
    }

    /// The connection as its requests see it.
    pub(super) fn context(&self, interim: Interim) -> ConnectionContext {
        ConnectionContext {
            connection: Arc::clone(&self.0.connection),
            interim,
            is_tls: self.0.is_tls,
        }
    }

    /// Returns whether a request has arrived.
    pub(super) fn has_begun(&self) -> bool {
        self.0.has_begun.get()
    }

    /// Keeps the response in the making, and waits for it.
    pub(super) fn answer(
        &self,
        answering: Answering,
    ) -> impl Future<Output = Response<BoxBody>> + use<> {
        self.0.has_begun.set(true);
        self.0.answering.replace(Some(answering));
        let link = self.clone();
        poll_fn(move |context| {
            let mut answering = link.0.answering.borrow_mut();
            let Some(future) = answering.as_mut() else {
                return Poll::Pending;
            };
            let response = ready!(future.as_mut().poll(context));
            *answering = None;
            // The final response is there.
            link.0.state.borrow_mut().waiting.clear();
            Poll::Ready(response)
        })
    }

    /// Takes the response in the making.
    pub(super) fn take_answering(&self) -> Option<Answering> {
        self.0.answering.take()
    }

    /// Sends an interim response with the next flush.
    pub(super) fn queue_interim(&self, head: &[u8]) {
        self.0.state.borrow_mut().waiting.extend_from_slice(head);
    }

    /// Returns whether another response can follow what was written.
    pub(super) fn is_flushed(&self) -> bool {
        self.0.state.borrow().is_flushed
    }

    /// The status of a response that was held back.
    pub(super) fn held_status(&self) -> Option<u16> {
        status_of(&self.0.state.borrow().held)
    }

    /// Sends what was held back, since the dispatcher goes on.
    pub(super) fn release(&self, context: &mut Context<'_>) {
        let mut state = self.0.state.borrow_mut();
        if state.is_flushed && !state.held.is_empty() {
            let waiting = state.waiting.split();
            state.held.unsplit(waiting);
        }
        // An error will be the dispatcher's as well.
        let _ = state.poll_begun(context, true);
    }

    /// Drops what was held back.
    pub(super) fn drop_held(&self) {
        self.0.state.borrow_mut().held.clear();
    }

    /// Writes the last bytes, and ends the connection.
    pub(super) async fn close_with(&self, bytes: &[u8]) -> io::Result<()> {
        {
            let mut state = self.0.state.borrow_mut();
            state.waiting.clear();
            state.held.extend_from_slice(bytes);
        }
        poll_fn(|context| {
            let mut state = self.0.state.borrow_mut();
            ready!(state.poll_begun(context, true))?;
            ready!(Pin::new(&mut state.transport).poll_flush(context))?;
            Pin::new(&mut state.transport).poll_shutdown(context)
        })
        .await
    }

    /// Reads and drops what the client still sends, so that the system does not take the response back
    /// (RFC 9112 §9.6).
    pub(super) async fn discard(&self, most: usize) -> io::Result<()> {
        let mut buffer = vec![0; 8 * 1024];
        let mut total = 0;
        while total < most {
            let read = poll_fn(|context| {
                let mut buffer = ReadBuf::new(&mut buffer);
                let mut state = self.0.state.borrow_mut();
                ready!(Pin::new(&mut state.transport).poll_read(context, &mut buffer))?;
                Poll::Ready(io::Result::Ok(buffer.filled().len()))
            });
            match read.await? {
                0 => break,
                bytes => total += bytes,
            }
        }
        Ok(())
    }
}

impl State {
    /// Writes what must be written before anything else.
    fn poll_begun(&mut self, context: &mut Context<'_>, with_held: bool) -> Poll<io::Result<()>> {
        if with_held {
            let held = self.held.split();
            self.begun.unsplit(held);
        }
        while !self.begun.is_empty() {
            let transport = Pin::new(&mut self.transport);
            let written = ready!(transport.poll_write(context, &self.begun))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.0.state.borrow_mut();
        loop {
            if !state.arrived.is_empty() {
                let fitting = state.arrived.len().min(buffer.remaining());
                buffer.put_slice(&state.arrived.split_to(fitting));
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut state.transport).poll_read(context, buffer))?;
            let bytes = &buffer.filled()[before..];
            if state.old_request.is_over() {
                return Poll::Ready(Ok(()));
            }
            let is_end = bytes.is_empty();
            let passed = state.old_request.push(bytes);
            buffer.set_filled(before);
            state.arrived = passed.unwrap_or_default();
            if is_end && state.arrived.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state.borrow_mut();
        state.is_flushed = false;
        // What follows a response shows that it was not the last one.
        ready!(state.poll_begun(context, true))?;
        match find_refusal(bytes) {
            Some(0) => {
                state.held.extend_from_slice(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            Some(at) => Pin::new(&mut state.transport).poll_write(context, &bytes[..at]),
            None => Pin::new(&mut state.transport).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state.borrow_mut();
        if state.held.is_empty() {
            let waiting = state.waiting.split();
            state.begun.unsplit(waiting);
        }
        ready!(state.poll_begun(context, false))?;
        state.is_flushed = true;
        Pin::new(&mut state.transport).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state.borrow_mut();
        if !state.held.is_empty() {
            // The response in its place closes the connection.
            return Poll::Ready(Ok(()));
        }
        ready!(state.poll_begun(context, false))?;
        Pin::new(&mut state.transport).poll_shutdown(context)
    }
}

/// The place at which bytes end with what may be a response of the dispatcher's own.
fn find_refusal(bytes: &[u8]) -> Option<usize> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = bytes.len().saturating_sub(MAX_REFUSAL);
    let tail = &bytes[from..];
    let at = tail.windows(9).rposition(|window| window == b"HTTP/1.1 ")?;
    status_of(&tail[at..]).map(|_| from + at)
}

/// The status of a response, if it is one of those of the dispatcher.
fn status_of(response: &[u8]) -> Option<u16> {
    let known = REFUSALS.iter().find(|(_, line)| response.starts_with(line));
    known.map(|(status, _)| *status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_refusal_at_the_end_is_held_back() {
        let refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(find_refusal(refusal), Some(0));
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab".to_vec();
        assert_eq!(find_refusal(&bytes), None);
        let before = bytes.len();
        bytes.extend_from_slice(refusal);
        assert_eq!(find_refusal(&bytes), Some(before));
        bytes.extend_from_slice(b"c");
        assert_eq!(find_refusal(&bytes), None);
        assert_eq!(find_refusal(b"HTTP/1.1 304 Not Modified\r\n\r\n"), None);
        assert_eq!(find_refusal(b"\r\n\r\n"), None);
    }
}
