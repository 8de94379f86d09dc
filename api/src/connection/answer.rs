//! The application as one function from a request to its response.

use std::{rc::Rc, time::SystemTime};

use actix_http::{Request, Response};
use actix_service::{IntoServiceFactory as _, Service as _, ServiceFactory as _};
use actix_web::{body::BoxBody, dev::AppConfig, http::header::HttpDate};
use futures_util::future::LocalBoxFuture;

use crate::app::{self, Shared};

/// The application of one thread.
pub(super) type Application = Rc<dyn Fn(Request) -> Answering>;

/// A response in the making.
pub(super) type Answering = LocalBoxFuture<'static, Response<BoxBody>>;

/// Builds the application of one thread.
pub(super) async fn application(shared: Shared) -> Result<Application, ()> {
    let app = app::build(shared).into_factory();
    let app = app.new_service(AppConfig::default()).await?;
    Ok(Rc::new(move |request| {
        let called = app.call(request);
        Box::pin(async move {
            match called.await {
                Ok(response) => Response::from(response).map_into_boxed_body(),
                Err(error) => error.error_response().into(),
            }
        })
    }))
}

/// The `Date` of a response (RFC 9110 §6.6.1).
pub(super) fn date() -> String {
    #[expect(clippy::disallowed_methods, reason = "the field has the real time")]
    let now = SystemTime::now();
    HttpDate::from(now).to_string()
}
