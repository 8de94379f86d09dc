//! Cross-origin requests of browsers.

use std::collections::BTreeSet;

use actix_cors::Cors;

use crate::headers::origin::AllowedOrigin;

/// Allows pages of these origins to call the service and to read the response fields.
pub(crate) fn cors(origins: &[AllowedOrigin], fields: &BTreeSet<String>) -> Cors {
    let mut cors = Cors::default()
        .allow_any_method()
        .allow_any_header()
        .expose_headers(fields)
        .max_age(3600);
    for origin in origins {
        cors = match origin {
            AllowedOrigin::Any => cors.allow_any_origin().send_wildcard(),
            AllowedOrigin::Only(origin) => cors.allowed_origin(origin.as_str()),
        };
    }
    cors
}
