//! Continuing the upload that an earlier process began.

use domain::Content;
use reqwest::{Method, Url};

use crate::{
    connection::Client,
    file_info::FileInfo,
    memory::{RememberedUpload, UploadRecord},
    observer::Notice,
    tus::TUS_RESUMABLE,
};

/// The record of a path's upload, and the upload that it had for the same content.
pub(super) struct Resumption<'a> {
    client: &'a Client,
    record: Option<UploadRecord>,
    url: Option<Url>,
}

impl<'a> Resumption<'a> {
    /// Remembers nothing.
    pub(super) fn none(client: &'a Client) -> Self {
        Self {
            client,
            record: None,
            url: None,
        }
    }

    /// Reads a record. An upload of what the file was before is dropped: nobody will continue it.
    pub(super) async fn new(
        client: &'a Client,
        record: Option<UploadRecord>,
        content: &Content,
        info: &FileInfo,
    ) -> Self {
        let mut resumption = Self {
            client,
            record,
            url: None,
        };
        let found = resumption.record.as_mut().and_then(UploadRecord::read);
        if let Some(upload) = found {
            resumption.url = client.locate(&upload.url).ok();
            if !upload.is_of(content, info) {
                resumption.drop_upload().await;
            }
        }
        resumption
    }

    /// Returns whether an earlier process began the upload.
    pub(super) fn is_begun(&self) -> bool {
        self.url.is_some()
    }

    /// The URL of the upload that began earlier.
    pub(super) fn take_url(&mut self) -> Option<Url> {
        self.url.take()
    }

    /// Remembers a new upload.
    pub(super) fn remember(&mut self, url: &Url, content: &Content, info: &FileInfo) {
        let Some(record) = &mut self.record else {
            return;
        };
        let upload = RememberedUpload::new(url.to_string(), content, info);
        self.client.observer.notice(match record.write(&upload) {
            Ok(()) => Notice::Remembered,
            Err(ref error) => Notice::NotRemembered(error),
        });
    }

    /// Forgets the upload.
    pub(super) fn forget(&mut self) {
        self.url = None;
        if let Some(record) = &mut self.record
            && let Err(error) = record.clear()
        {
            self.client.observer.notice(Notice::NotRemembered(&error));
        }
    }

    /// Forgets the upload that began earlier, and has the server forget it; if that fails, it expires.
    pub(super) async fn drop_upload(&mut self) {
        if let Some(url) = self.url.take() {
            let request = self.client.request_at(Method::DELETE, url);
            let _ = self
                .client
                .send(request.header(TUS_RESUMABLE, "1.0.0"))
                .await;
        }
        self.forget();
    }
}
