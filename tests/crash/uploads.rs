//! Uploads in several requests, which go on after a kill.

use harness::{Client, File, TusUpload};
use reqwest::{Method, RequestBuilder};

/// The protocol of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tus,
    /// The IETF's draft.
    Draft,
}

/// An upload that was begun.
#[derive(Debug, Clone)]
pub(crate) struct Unfinished {
    pub(crate) protocol: Protocol,
    pub(crate) url: String,
    pub(crate) file: File,
    pub(crate) name: String,
    /// The acknowledged bytes, none of which may be lost.
    pub(crate) acknowledged: usize,
    /// The bytes that were sent, more than which cannot be there.
    pub(crate) sent: usize,
}

impl Unfinished {
    pub(crate) fn beginning(
        protocol: Protocol,
        client: &Client,
        length: usize,
        name: &str,
    ) -> RequestBuilder {
        match protocol {
            Protocol::Tus => TusUpload::beginning(client, length, &[("filename", name)]),
            Protocol::Draft => client
                .request(Method::POST, "/files")
                .query(&[("file_name", name)])
                .header("upload-complete", "?0"),
        }
    }

    pub(crate) fn inspecting(&self, client: &Client) -> RequestBuilder {
        match self.protocol {
            Protocol::Tus => TusUpload::at(client, &self.url).inspecting(),
            Protocol::Draft => client.request(Method::HEAD, &self.url),
        }
    }

    /// Sends the bytes from the acknowledged offset to another.
    pub(crate) fn appending(&self, client: &Client, end: usize) -> RequestBuilder {
        let bytes = self.file.bytes();
        let request = match self.protocol {
            Protocol::Tus => TusUpload::at(client, &self.url).appending(self.acknowledged),
            Protocol::Draft => client
                .request(Method::PATCH, &self.url)
                .header("upload-offset", self.acknowledged)
                .header(
                    "upload-complete",
                    if end == bytes.len() { "?1" } else { "?0" },
                )
                .header("content-type", "application/partial-upload"),
        };
        request.body(bytes[self.acknowledged..end].to_vec())
    }
}
