//! The query of a URL, parsed strictly: unknown, repeated and non-UTF-8 parameters are errors.

use std::{
    borrow::Cow,
    future::{Ready, ready},
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// The parameters that were not taken yet.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a parameter that may occur once.
    pub(crate) fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.many(name);
        let value = values.pop();
        if values.is_empty() {
            Ok(value)
        } else {
            Err(Problem::query(name, format!("`{name}` is repeated")))
        }
    }

    /// Takes a parameter that may occur any number of times.
    pub(crate) fn many(&mut self, name: &str) -> Vec<String> {
        self.0
            .extract_if(.., |(given, _)| given == name)
            .map(|(_, value)| value)
            .collect()
    }

    /// Takes a boolean parameter, `false` by default.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.one(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::query(
                name,
                format!("`{name}` must be `true` or `false`"),
            )),
        }
    }

    /// Refuses parameters that were not taken.
    pub(crate) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::query(name, format!("unknown parameter {name:?}"))),
        }
    }

    /// The parameters, decoded.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let not_utf8 = |_| Problem::query(name, "the query must be UTF-8");
                Ok((
                    decode(name).map_err(not_utf8)?,
                    decode(value).map_err(not_utf8)?,
                ))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn decode(text: &str) -> Result<String, std::str::Utf8Error> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(Cow::into_owned)
}

impl FromRequest for Query {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::parse(request.query_string()))
    }
}

/// Extractor that refuses a request with a query.
pub(crate) struct NoQuery;

impl FromRequest for NoQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            Query::parse(request.query_string())
                .and_then(Query::end)
                .map(|()| Self),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_told_apart() {
        let mut query = Query::parse("a=1&b=x%20y+z&c=%E6%95%B0&a=2&flag=true").unwrap();
        assert_eq!(query.one("b").unwrap().as_deref(), Some("x y z"));
        assert_eq!(query.one("c").unwrap().as_deref(), Some("数"));
        assert_eq!(query.many("a"), ["1", "2"]);
        assert_eq!(query.one("d").unwrap(), None);
        assert!(query.flag("flag").unwrap());
        query.end().unwrap();
    }

    #[test]
    fn what_is_unknown_repeated_or_not_utf8_is_an_error() {
        assert!(Query::parse("a=1").unwrap().end().is_err());
        assert!(Query::parse("a=1&a=1").unwrap().one("a").is_err());
        assert!(Query::parse("a=%FF").is_err());
        assert!(Query::parse("a=yes").unwrap().flag("a").is_err());
    }
}
