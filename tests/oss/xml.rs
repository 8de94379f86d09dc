//! The subset of XML that OSS uses.

use std::fmt::{Display, Write as _};

use crate::error::{Error, Result};

/// A document that is being written.
pub(crate) struct Xml {
    text: String,
    root: &'static str,
}

impl Xml {
    /// Starts a document with its root element.
    pub(crate) fn new(root: &'static str) -> Self {
        let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>");
        Self { text, root }
    }

    /// Adds an element with text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        let _ = write!(self.text, "<{name}>");
        for character in value.chars() {
            match character {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\r' => self.text.push_str("&#13;"),
                other => self.text.push(other),
            }
        }
        let _ = write!(self.text, "</{name}>");
    }

    /// Adds an element with a number or a boolean.
    pub(crate) fn value(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.text, "<{name}>{value}</{name}>");
    }

    /// Adds an element with child elements.
    pub(crate) fn element(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        let _ = write!(self.text, "<{name}>");
        fill(self);
        let _ = write!(self.text, "</{name}>");
    }

    /// Returns the document.
    pub(crate) fn finish(mut self) -> String {
        let _ = write!(self.text, "</{}>", self.root);
        self.text
    }
}

/// Percent-encodes a name if `encoding-type=url` was requested.
pub(crate) fn encode(name: &str, encoded: bool) -> String {
    if encoded {
        crate::request::percent_encode(name)
    } else {
        name.to_owned()
    }
}

/// Returns the content of every element with this name. Such elements must not be nested.
pub(crate) fn elements<'x>(document: &'x str, name: &str) -> Result<Vec<&'x str>> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = document;
    let mut found = Vec::new();
    while let Some((_, after)) = rest.split_once(&begin) {
        let (content, after) = after.split_once(&end).ok_or(Error::MalformedXml)?;
        found.push(content);
        rest = after;
    }
    Ok(found)
}

/// Returns the text of the only element with this name.
pub(crate) fn text(document: &str, name: &str) -> Result<String> {
    match elements(document, name)?.as_slice() {
        [content] => unescape(content),
        _ => Err(Error::MalformedXml),
    }
}

fn unescape(text: &str) -> Result<String> {
    let mut rest = text;
    let mut plain = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once('&') {
        let (entity, after) = after.split_once(';').ok_or(Error::MalformedXml)?;
        plain.push_str(before);
        plain.push(character(entity).ok_or(Error::MalformedXml)?);
        rest = after;
    }
    plain.push_str(rest);
    Ok(plain)
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let number = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_document_can_be_read() {
        let mut xml = Xml::new("Delete");
        xml.element("Object", |xml| xml.text("Key", "a & <b> \"c\" ü"));
        let document = xml.finish();
        let objects = elements(&document, "Object").unwrap();
        assert_eq!(text(objects[0], "Key").unwrap(), "a & <b> \"c\" ü");
    }

    #[test]
    fn character_references_are_read() {
        let key = text("<Key>&#228;&#xE4;&apos;</Key>", "Key").unwrap();
        assert_eq!(key, "ää'");
    }

    #[test]
    fn malformed_xml_is_refused() {
        for document in ["", "<Key>", "<Key>&what;</Key>", "<Key>&</Key>"] {
            assert!(text(document, "Key").is_err(), "{document}");
        }
    }
}
