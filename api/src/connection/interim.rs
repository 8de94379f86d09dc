//! Interim responses (RFC 9110 §15.2), which a client gets before the final one.

use std::{
    cell::{Cell, RefCell},
    fmt::Write as _,
    future::poll_fn,
    rc::Rc,
};

use actix_web::{
    http::header::{HeaderName, HeaderValue},
    web::Bytes,
};
use h2::server::SendResponse;

use super::link::Link;

/// The status that asks for the body (RFC 9110 §15.2.1).
const CONTINUE: u16 = 100;

/// The way of interim responses to the client of a request.
///
/// They are sent only while no part of the final response is.
#[derive(Clone)]
pub(crate) struct Interim {
    way: Way,
    /// Whether the client waits for `100 Continue`.
    is_expected: Rc<Cell<bool>>,
}

#[derive(Clone)]
enum Way {
    /// HTTP/1.0 has no interim responses.
    None,
    Http1(Link),
    Http2(Rc<RefCell<SendResponse<Bytes>>>),
}

impl Interim {
    fn new(way: Way, is_expected: bool) -> Self {
        let is_expected = Rc::new(Cell::new(is_expected));
        Self { way, is_expected }
    }

    pub(super) fn none() -> Self {
        Self::new(Way::None, false)
    }

    pub(super) fn http1(link: Link, is_expected: bool) -> Self {
        Self::new(Way::Http1(link), is_expected)
    }

    pub(super) fn http2(respond: Rc<RefCell<SendResponse<Bytes>>>, is_expected: bool) -> Self {
        Self::new(Way::Http2(respond), is_expected)
    }

    /// Returns whether the client understands interim responses.
    pub(crate) fn is_possible(&self) -> bool {
        !matches!(self.way, Way::None)
    }

    /// Asks for the body, if the client waits to be asked.
    pub(crate) fn ask_for_body(&self) {
        if self.is_expected.replace(false) {
            self.send(CONTINUE, "Continue", &[]);
        }
    }

    /// Waits until the client of HTTP/2 gives up the request (RFC 9113 §6.4).
    pub(super) async fn given_up(&self) {
        match &self.way {
            Way::None | Way::Http1(_) => std::future::pending().await,
            Way::Http2(respond) => {
                // An error means that the whole connection is gone.
                let _ = poll_fn(|context| respond.borrow_mut().poll_reset(context)).await;
            }
        }
    }

    /// Sends a response with some fields.
    pub(crate) fn send(&self, status: u16, reason: &str, fields: &[(HeaderName, HeaderValue)]) {
        match &self.way {
            Way::None => {}
            Way::Http1(link) => link.queue_interim(&http1_head(status, reason, fields)),
            Way::Http2(respond) => {
                let mut response = http::Response::builder().status(status);
                for (name, value) in fields {
                    response = response.header(name.as_str(), value.as_bytes());
                }
                if let Ok(response) = response.body(()) {
                    // An error means that the client has given up the request.
                    let _ = respond.borrow_mut().send_informational(response);
                }
            }
        }
    }
}

fn http1_head(status: u16, reason: &str, fields: &[(HeaderName, HeaderValue)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in fields {
        if let Ok(value) = value.to_str() {
            // Writing to a string cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    head.push_str("\r\n");
    head.into_bytes()
}
