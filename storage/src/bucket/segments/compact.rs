//! Choosing the last segments that are rewritten as one.

use super::index::Segment;

/// The number of small segments from which they are compacted.
const MIN_SEGMENTS: usize = 8;

/// A segment of at most this many bytes is small, whatever comes after it.
const SMALL_SEGMENT: u64 = 64 * 1024;

/// Returns how many segments at the end are to be rewritten as one segment of at most `max_size`
/// bytes; 0 if there are too few.
///
/// A segment is included if it is no larger than all segments after it together. So each byte is
/// rewritten only a few times, however small the requests are.
pub(super) fn tail_length(segments: &[Segment], max_size: u64) -> usize {
    let (mut count, mut size) = (0, 0);
    for segment in segments.iter().rev() {
        let together = size + segment.size;
        // The last segment has none after it.
        let is_larger = count > 0 && segment.size > SMALL_SEGMENT.max(size);
        if is_larger || together > max_size {
            break;
        }
        (count, size) = (count + 1, together);
    }
    if count < MIN_SEGMENTS { 0 } else { count }
}
