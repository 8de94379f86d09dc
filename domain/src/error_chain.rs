//! An error together with its causes, for logs and terminals.

use std::{error::Error, fmt};

/// Displays an error and all its sources in one line, separated by `: `.
pub struct ErrorChain<'a>(pub &'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] fmt::Error);
        let error = Outer(fmt::Error);
        assert_eq!(
            ErrorChain(&error).to_string(),
            format!("outer: {}", fmt::Error)
        );
    }
}
