//! The name that a request gives to its file.

use domain::FileName;

use crate::problem::{Problem, ProblemLocation, ProblemType};

/// Reads a file name from the query.
pub(crate) fn query_file_name(name: Option<String>) -> Result<Option<FileName>, Problem> {
    name.map(|name| file_name(name, ProblemLocation::Query))
        .transpose()
}

pub(super) fn file_name(name: String, place: ProblemLocation) -> Result<FileName, Problem> {
    name.try_into().map_err(|error: domain::FileNameError| {
        Problem::new(ProblemType::InvalidFileName, error.to_string()).named(place, "file_name")
    })
}

/// Refuses two names for one file.
pub(super) fn only_one(
    first: Option<FileName>,
    second: Option<FileName>,
) -> Result<Option<FileName>, Problem> {
    if first.is_some() && second.is_some() {
        let detail = "the request gives the file two names";
        return Err(Problem::new(ProblemType::InvalidFileName, detail));
    }
    Ok(first.or(second))
}

/// Refuses a file without a name.
pub(super) fn unnamed(detail: &str) -> Problem {
    Problem::new(ProblemType::InvalidFileName, detail)
}
