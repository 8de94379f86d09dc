//! Holding answers against the contract.

use std::{fs, path::PathBuf, sync::Arc};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::stack;

/// Where answers that were seen are noted, so that it can be told which of the contract's never
/// came.
const COVERAGE: &str = "CONTRACT_COVERAGE";

/// The contract that a server gives out.
#[derive(Debug, Clone)]
pub(crate) struct Contract(Arc<Value>);

impl Contract {
    pub(crate) fn new(contract: Value) -> Self {
        Self(Arc::new(contract))
    }

    /// Makes sure that the contract has an answer of this status code and media type.
    pub(crate) fn verify(
        &self,
        method: &Method,
        path: &str,
        status: StatusCode,
        media_type: Option<&str>,
    ) {
        let Some(template) = self.template(path) else {
            assert_eq!(
                status,
                StatusCode::NOT_FOUND,
                "{path} is not in the contract"
            );
            return;
        };
        let verb = method.as_str().to_lowercase();
        let Some(operation) = self.0["paths"][&template].get(&verb) else {
            assert_eq!(
                status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {template}"
            );
            return;
        };
        let name = operation["operationId"].as_str().unwrap();
        let answer = &operation["responses"][status.as_str()];
        if !answer.is_object() && is_of_proxy(status) && media_type.is_none_or(is_problem) {
            return;
        }
        assert!(
            answer.is_object(),
            "{name} answers {status}, which its contract does not know"
        );
        if let (Some(declared), Some(media_type)) = (answer["content"].as_object(), media_type) {
            let essence = media_type.split(';').next().unwrap_or_default();
            let any_type = declared.contains_key("application/octet-stream");
            assert!(
                any_type || declared.contains_key(essence),
                "{name} answers {status} with {media_type}"
            );
        }
        note(name, status);
    }

    fn template(&self, path: &str) -> Option<String> {
        let fits = |template: &str| {
            let (template, path) = (template.split('/'), path.split('/'));
            template.clone().count() == path.clone().count()
                && template
                    .zip(path)
                    .all(|(expected, found)| expected == found || expected.starts_with('{'))
        };
        let paths = self.0["paths"].as_object().unwrap();
        paths.keys().find(|template| fits(template)).cloned()
    }
}

/// Whether it is what a proxy says when it has no answer of the service, or does not ask for one.
fn is_of_proxy(status: StatusCode) -> bool {
    stack::is_full()
        && matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::URI_TOO_LONG
                | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        )
}

fn is_problem(media_type: &str) -> bool {
    media_type == "application/problem+json"
}

fn note(operation: &str, status: StatusCode) {
    if let Some(folder) = std::env::var_os(COVERAGE) {
        let seen = PathBuf::from(folder).join(format!("{operation} {}", status.as_str()));
        fs::write(seen, "").unwrap();
    }
}
