//! Moments, as they are stored and shown.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

/// A moment between the years 1970 and 9999, in UTC and to the microsecond; shown as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.123456Z")]
pub struct Timestamp(i64);

impl Timestamp {
    /// When 1970 began.
    pub const EPOCH: Self = Self(0);

    const LAST: i64 = 253_402_300_799_999_999;

    /// The moment so many microseconds after 1970 began; what lies outside of the range is moved
    /// to its nearer end.
    #[must_use]
    pub fn from_microseconds(microseconds: i64) -> Self {
        Self(microseconds.clamp(0, Self::LAST))
    }

    /// Microseconds since 1970 began.
    #[must_use]
    pub fn microseconds(self) -> i64 {
        self.0
    }

    /// The moment so much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let microseconds = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Self::from_microseconds(self.0.saturating_add(microseconds))
    }

    /// The moment so much earlier.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        let microseconds = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Self::from_microseconds(self.0.saturating_sub(microseconds))
    }

    fn to_date_time(self) -> OffsetDateTime {
        OffsetDateTime::from(SystemTime::from(self))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_microseconds(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_micros(timestamp.0.unsigned_abs())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_date_time().format(&Rfc3339);
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(de::Error::custom)?;
        Ok(SystemTime::from(time).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_as_rfc_3339_and_read_again() {
        let moment = Timestamp::from_microseconds(1_700_000_000_123_456);
        let json = serde_json::to_string(&moment).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20.123456Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
    }

    #[test]
    fn what_lies_out_of_range_is_moved_to_its_nearer_end() {
        assert_eq!(Timestamp::from_microseconds(-1).microseconds(), 0);
        let last = Timestamp::from_microseconds(i64::MAX);
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999999Z");
    }
}
