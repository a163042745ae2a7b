//! The part of something that a request asks for (RFC 9110, section 14).

use axum::http::HeaderMap;
use axum::http::header::RANGE;

/// Which bytes an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of them.
    Whole,
    /// Those from the first to the last of these places.
    From(u64, u64),
    /// There are none where they were asked for.
    Outside,
}

impl Part {
    /// What a request wants of so many bytes. Whoever asks for several parts, or in a way that
    /// is not understood, gets all, which is always allowed.
    pub(crate) fn of(headers: &HeaderMap, bytes: u64) -> Self {
        let asked = headers.get(RANGE).and_then(|it| it.to_str().ok());
        asked.and_then(|it| Self::read(it, bytes)).unwrap_or(Self::Whole)
    }

    fn read(text: &str, bytes: u64) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let number = |it: &str| -> Option<u64> {
            let is_number = !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
            // One too large for the type lies behind any end.
            is_number.then(|| it.parse().unwrap_or(u64::MAX))
        };
        let end = bytes.checked_sub(1);
        let (first, last) = if first.is_empty() {
            let count = number(last)?;
            if count == 0 {
                return Some(Self::Outside);
            }
            (bytes.saturating_sub(count), u64::MAX)
        } else {
            let first = number(first)?;
            let last = if last.is_empty() { u64::MAX } else { number(last)? };
            if last < first {
                return None;
            }
            (first, last)
        };
        Some(match end {
            Some(end) if first <= end => Self::From(first, last.min(end)),
            _ => Self::Outside,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_was_asked_for_and_is_there() {
        for (text, bytes, part) in [
            ("bytes=0-3", 10, Part::From(0, 3)),
            ("bytes=4-", 10, Part::From(4, 9)),
            ("bytes=4-99", 10, Part::From(4, 9)),
            ("bytes=-3", 10, Part::From(7, 9)),
            ("bytes=-99", 10, Part::From(0, 9)),
            ("bytes=9-9", 10, Part::From(9, 9)),
            ("bytes=10-", 10, Part::Outside),
            ("bytes=99999999999999999999-", 10, Part::Outside),
            ("bytes=-0", 10, Part::Outside),
            ("bytes=0-", 0, Part::Outside),
            ("bytes=3-1", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=a-b", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("lines=0-3", 10, Part::Whole),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, text.parse().unwrap());
            assert_eq!(Part::of(&headers, bytes), part, "{text}");
        }
        assert_eq!(Part::of(&HeaderMap::new(), 10), Part::Whole);
    }
}
