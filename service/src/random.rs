//! Random ids.

use domain::RandomId;

use crate::{Error, Result};

pub(crate) fn random_id() -> Result<RandomId> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Error::Interrupted)?;
    Ok(random.into())
}
