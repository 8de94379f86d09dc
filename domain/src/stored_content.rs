//! Stored contents and the addresses of their copies.

use crate::{Address, Content};

/// A content that the service has, and the addresses of its copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredContent {
    /// The digests and the size of the content.
    pub content: Content,
    /// The address of the first copy.
    pub address: Address,
    /// The address of the second copy, if there is one.
    pub second: Option<Address>,
    /// The [summary](crate::BlockChecksums::summary) of the checksums of its blocks, once they are
    /// known.
    pub checksum: Option<u32>,
}

impl StoredContent {
    /// The addresses of all copies.
    pub fn copies(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(&self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_copy_comes_first() {
        let address = |key: &str| Address {
            store: "disk".to_owned(),
            key: key.to_owned(),
        };
        let mut stored = StoredContent {
            content: crate::ContentHasher::default().finish(),
            address: address("a"),
            second: None,
            checksum: None,
        };
        assert_eq!(stored.copies().collect::<Vec<_>>(), [&address("a")]);
        stored.second = Some(address("b"));
        let both = [&address("a"), &address("b")];
        assert_eq!(stored.copies().collect::<Vec<_>>(), both);
    }
}
