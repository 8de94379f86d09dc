//! Timestamps.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

/// A time between the years 1970 and 9999, in UTC and to the microsecond; written in the form of
/// RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.123456Z")]
pub struct Timestamp(i64);

impl Timestamp {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(0);

    const LAST: i64 = 253_402_300_799_999_999;

    /// The time that is this many microseconds after the beginning of 1970; a time outside of the
    /// range is replaced by the nearest one inside.
    #[must_use]
    pub fn from_microseconds(microseconds: i64) -> Self {
        Self(microseconds.clamp(0, Self::LAST))
    }

    /// The microseconds since the beginning of 1970.
    #[must_use]
    pub fn microseconds(self) -> i64 {
        self.0
    }

    /// The time that is later by a duration.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let microseconds = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Self::from_microseconds(self.0.saturating_add(microseconds))
    }

    /// The time that is earlier by a duration.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        let microseconds = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Self::from_microseconds(self.0.saturating_sub(microseconds))
    }

    /// The time between this and another time, whichever is earlier.
    #[must_use]
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_micros(self.0.abs_diff(other.0))
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
    fn a_timestamp_round_trips_in_the_form_of_rfc_3339() {
        let timestamp = Timestamp::from_microseconds(1_700_000_000_123_456);
        let json = serde_json::to_string(&timestamp).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20.123456Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), timestamp);
    }

    #[test]
    fn times_are_moved_and_compared_within_the_range() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        let moment = Timestamp::EPOCH.after(minute);
        assert_eq!(moment.microseconds(), 60_000_000);
        assert_eq!(moment.before(second).microseconds(), 59_000_000);
        assert_eq!(moment.before(Duration::MAX), Timestamp::EPOCH);
        assert_eq!(moment.after(Duration::MAX).microseconds(), Timestamp::LAST);
        let later = moment.after(second);
        assert_eq!(moment.distance(later), second);
        assert_eq!(later.distance(moment), second);
        let system = SystemTime::from(later);
        assert_eq!(system, UNIX_EPOCH + minute + second);
        assert_eq!(Timestamp::from(system), later);
    }

    #[test]
    fn a_time_out_of_range_is_replaced_by_the_nearest_one_inside() {
        assert_eq!(Timestamp::from_microseconds(-1).microseconds(), 0);
        let last = Timestamp::from_microseconds(i64::MAX);
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999999Z");
    }
}
