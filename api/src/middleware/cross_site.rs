//! Protection of a service without credentials from pages of other sites.
//!
//! Such a service trusts everybody who reaches it, and a browser on its machine reaches it for any page
//! that it shows. So it answers to names of this machine only, which no other site can take (DNS
//! rebinding), and refuses requests that a page of another site makes.

use actix_web::{
    dev::ServiceRequest,
    http::{
        Method,
        header::{self, HeaderMap, HeaderName},
    },
};

use crate::{
    headers::origin::{AllowedOrigin, Origin, host, is_loopback},
    problem::{Problem, ProblemType},
};

/// The relation of the page that makes a request to its target (Fetch Metadata §2.4).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The mode of a request of a browser (Fetch Metadata §2.2).
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The hosts and the sites that a service without credentials accepts.
pub(crate) struct CrossSite {
    own: Option<Origin>,
    allowed: Vec<AllowedOrigin>,
}

impl CrossSite {
    /// Accepts the origin of the public URL, and the allowed origins.
    pub(crate) fn new(public_url: Option<Origin>, allowed: Vec<AllowedOrigin>) -> Self {
        Self {
            own: public_url,
            allowed,
        }
    }

    /// Refuses a request for another host, or of a page of another site.
    ///
    /// # Errors
    ///
    /// 403.
    pub(crate) fn check(&self, request: &ServiceRequest) -> Result<(), Problem> {
        let headers = request.headers();
        let target = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        // A request without the field is not a browser's.
        if let Some(target) = target.filter(|target| !self.is_own_host(target)) {
            let detail = format!(
                "without authentication the service answers to names of this machine, not to {target}; \
                 set --public-url, or turn on authentication"
            );
            return Err(Problem::new(ProblemType::ForeignSite, detail));
        }
        if self.is_of_other_site(request.method(), headers, target.unwrap_or_default()) {
            let detail = "the request comes from a page of another site; list its origin in \
                          --cors-origins, or turn on authentication";
            return Err(Problem::new(ProblemType::ForeignSite, detail));
        }
        Ok(())
    }

    fn is_own_host(&self, target: &str) -> bool {
        let target = host(target);
        let own = self.own.as_ref().map(|own| host(own.authority()));
        is_loopback(target) || own.is_some_and(|own| own.eq_ignore_ascii_case(target))
    }

    fn is_of_other_site(&self, method: &Method, headers: &HeaderMap, target: &str) -> bool {
        let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
        let site = text(&SEC_FETCH_SITE);
        if matches!(site, Some("same-origin" | "none")) {
            return false;
        }
        if let Some(origin) = text(&header::ORIGIN) {
            return !self.is_accepted(origin, target, site.is_some());
        }
        // Following a link shows the answer to the person, and not to the page.
        let is_navigation = method.is_safe() && text(&SEC_FETCH_MODE) == Some("navigate");
        site.is_some() && !is_navigation
    }

    /// Returns whether a page of an origin may make requests. A browser that tells the relation of the
    /// page has said already that it is another site's.
    fn is_accepted(&self, origin: &str, target: &str, is_told: bool) -> bool {
        let is_listed = self.allowed.iter().any(|allowed| match allowed {
            AllowedOrigin::Any => true,
            AllowedOrigin::Only(allowed) => allowed.as_str() == origin,
        });
        let is_public = self.own.as_ref().is_some_and(|own| own.as_str() == origin);
        let is_same = !is_told
            && origin
                .split_once("://")
                .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(target));
        is_listed || is_public || is_same
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn check(method: Method, fields: &[(&str, &str)]) -> bool {
        let allowed = "http://localhost:3000".parse().unwrap();
        let own = "https://files.example.org".parse().unwrap();
        let guard = CrossSite::new(Some(own), vec![allowed]);
        let mut request = TestRequest::default().method(method);
        for (name, value) in fields {
            request = request.insert_header((*name, *value));
        }
        guard.check(&request.to_srv_request()).is_ok()
    }

    #[test]
    fn only_own_names_are_answered() {
        for host in [
            "localhost:8080",
            "127.0.0.1",
            "[::1]:80",
            "files.example.org",
            "FILES.example.org:443",
        ] {
            assert!(check(Method::GET, &[("host", host)]), "{host}");
        }
        assert!(check(Method::GET, &[]));
        for host in [
            "evil.example",
            "10.0.0.1:8080",
            "files.example.org.evil.example",
            "",
        ] {
            assert!(!check(Method::GET, &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = ("host", "localhost:8080");
        let site = |value| ("sec-fetch-site", value);
        let origin = |value| ("origin", value);
        let navigate = ("sec-fetch-mode", "navigate");
        for fields in [
            &[host, site("same-origin"), origin("http://localhost:8080")][..],
            &[host, site("none")],
            &[host, site("same-site"), origin("http://localhost:3000")],
            &[
                host,
                site("cross-site"),
                origin("https://files.example.org"),
            ],
            &[host, origin("http://localhost:8080")],
        ] {
            assert!(check(Method::POST, fields), "{fields:?}");
        }
        assert!(check(Method::GET, &[host, site("cross-site"), navigate]));
        for fields in [
            &[host, site("cross-site")][..],
            &[host, site("same-site")],
            &[host, site("cross-site"), navigate],
            &[host, site("cross-site"), origin("http://localhost:8080")],
            &[host, origin("https://evil.example")],
            &[host, origin("null")],
        ] {
            assert!(!check(Method::POST, fields), "{fields:?}");
        }
        let image = [host, site("cross-site"), ("sec-fetch-mode", "no-cors")];
        assert!(!check(Method::GET, &image));
    }
}
