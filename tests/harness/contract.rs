//! Checks answers against the contract.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{Answer, stack};

/// The variable of the folder for the answers that were seen, so that a later test finds those that
/// never came.
const COVERAGE: &str = "CONTRACT_COVERAGE";

/// The contract that a server publishes.
#[derive(Debug, Clone)]
pub(crate) struct Contract(Arc<Value>);

impl Contract {
    /// Reads a contract, unless it is the one that was read last: all servers of a program of tests
    /// have the same.
    pub(crate) fn parse(text: &Bytes) -> Self {
        static LAST: Mutex<Option<(Bytes, Contract)>> = Mutex::new(None);
        let mut last = LAST.lock().unwrap();
        if let Some((known, contract)) = &*last
            && known == text
        {
            return contract.clone();
        }
        let contract = Self(Arc::new(serde_json::from_slice(text).unwrap()));
        *last = Some((text.clone(), contract.clone()));
        contract
    }

    /// Asserts that the contract has an answer of this status code and media type.
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

    /// Asserts that an answer says who may keep it.
    pub(crate) fn verify_caching(&self, method: &Method, path: &str, answer: &Answer) {
        if is_of_proxy(answer.status) {
            return;
        }
        let what = format!("{method} {path} {}", answer.status);
        let caching = answer.header("cache-control");
        assert!(!caching.is_empty(), "{what}: nothing is said about caching");
        let template = self.template(path).unwrap_or_default();
        let verb = method.as_str().to_lowercase();
        let security = &self.0["paths"][&template][&verb]["security"];
        if security[0].get("bearer").is_none() {
            return;
        }
        let is_private = caching == "no-store" || caching.starts_with("private, no-");
        assert!(is_private, "{what}: {caching}");
        let vary = answer.header("vary");
        assert!(vary.contains("Authorization, X-Owner"), "{what}: {vary}");
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

/// Returns whether nginx may have made this answer without asking the service.
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
