//! Visits: downloads through a link with a limited number of downloads, which count once each.

use domain::{ByteRange, Timestamp, Visit};
use persistence::Charge;

use crate::{Error, FileService, LinkedFile, Result, boxed};

/// A request through a link that was charged to a visit.
pub struct ChargedVisit {
    service: FileService,
    visit: Visit,
    size: u64,
}

impl FileService {
    /// Charges the bytes of a request to a visit of its link; `None` if the link's downloads are not
    /// limited.
    ///
    /// A request `continues` a visit, from any address, if it has seen the file's entity tag.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] when the request would be a download too many.
    #[boxed]
    pub async fn charge_visit(
        &self,
        linked: &LinkedFile,
        ranges: &[ByteRange],
        continues: bool,
    ) -> Result<Option<ChargedVisit>> {
        if linked.link.max_downloads.is_none() {
            return Ok(None);
        }
        let charge = Charge {
            continues,
            ..self.charge(linked, ranges)
        };
        let visit = self.0.database.visits().charge(&charge).await?;
        Ok(Some(ChargedVisit {
            service: self.clone(),
            visit: visit.ok_or(Error::LinkNotFound)?,
            size: charge.size,
        }))
    }

    /// Checks that the visitor of a link would get some bytes, without charging them.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] when that would be a download too many.
    #[boxed]
    pub async fn check_visit(&self, linked: &LinkedFile, ranges: &[ByteRange]) -> Result<()> {
        if !linked.link.is_used_up() {
            return Ok(());
        }
        let charge = self.charge(linked, ranges);
        if self.0.database.visits().would_continue(&charge).await? {
            return Ok(());
        }
        Err(Error::LinkNotFound)
    }

    fn charge<'a>(&self, linked: &LinkedFile, ranges: &'a [ByteRange]) -> Charge<'a> {
        let now = self.0.clock.now();
        Charge {
            link: linked.link.id,
            visitor: linked.visitor,
            ranges,
            size: linked.entry.meta.file_size,
            continues: false,
            since: self.visits_since(now),
            now,
        }
    }

    /// The time after which a visit must have been used last to be continued.
    pub(crate) fn visits_since(&self, now: Timestamp) -> Timestamp {
        now.before(self.0.limits.visit_age)
    }
}

impl ChargedVisit {
    /// Credits the visit for the bytes of a range that were not sent: only its first `given` bytes were.
    ///
    /// # Errors
    ///
    /// When the database fails; the visit stays charged then.
    #[boxed]
    pub async fn give_back(&self, range: ByteRange, given: u64) -> Result<()> {
        let visits = self.service.0.database.visits();
        let now = self.service.0.clock.now();
        let given = (range, given);
        Ok(visits.give_back(&self.visit, given, self.size, now).await?)
    }
}
