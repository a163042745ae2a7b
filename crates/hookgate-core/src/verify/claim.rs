//! Reads what the headers claim: digests and a time. The grammar is strict; nothing
//! inside a value is trimmed, skipped or guessed.

use crate::digest::Code;
use crate::scheme::{Clock, Layout, Mac, Piece, Unit, without_leading_zeros};
use crate::time::Timestamp;

/// Signatures in one header. Rotation gives two or three.
const SIGNATURES_MAX: usize = 32;

/// Digits of a time: those of the largest 64-bit number. Longer ones are no time.
const TIME_DIGITS_MAX: usize = 20;

/// The largest whole number that JavaScript holds exactly. Retell's SDK refuses larger
/// times (retell-sdk 5.66.1, `webhook_auth.ts`, read 2026-11).
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// From here on a time of unknown unit is in milliseconds: as seconds it would be the
/// year 5138, as milliseconds it is 1973.
const MILLIS_FROM: u64 = 100_000_000_000;

/// What a signature header says.
pub(super) struct Claim<'a> {
    /// The digests; one of them must match.
    pub(super) digests: Vec<Code>,
    /// The digits of the time, where the layout has one.
    pub(super) time: Option<&'a [u8]>,
}

/// Reads a signature header, or nothing if it is not laid out as the scheme says.
pub(super) fn read<'a>(mac: &Mac, value: &'a [u8]) -> Option<Claim<'a>> {
    let decode = |text: &[u8]| mac.encoding.decode(mac.digest, text);
    match &mac.layout {
        Layout::Bare { prefix } => {
            let digest = decode(value.strip_prefix(prefix.as_bytes())?)?;
            Some(Claim { digests: vec![digest], time: None })
        }
        Layout::Several { prefix } => {
            let items = value.split(|it| *it == b' ').filter(|it| !it.is_empty());
            let digests: Vec<Code> = items
                .filter_map(|item| decode(item.strip_prefix(prefix.as_bytes())?))
                .take(SIGNATURES_MAX.saturating_add(1))
                .collect();
            let few = (1..=SIGNATURES_MAX).contains(&digests.len());
            few.then_some(Claim { digests, time: None })
        }
        Layout::Fields { time, digest, exact } => {
            let (time, digest) = if *exact {
                just_two_fields(value, time, digest)?
            } else {
                among_fields(value, time, digest)?
            };
            Some(Claim { digests: vec![decode(digest)?], time: Some(time) })
        }
    }
}

/// `time=…,digest=…`, and nothing else.
fn just_two_fields<'a>(value: &'a [u8], time: &str, digest: &str) -> Option<(&'a [u8], &'a [u8])> {
    let comma = value.iter().position(|it| *it == b',')?;
    let (first, rest) = value.split_at_checked(comma)?;
    Some((field(first, time)?, field(rest.strip_prefix(b",")?, digest)?))
}

/// Both fields among others, in any order, each just once: the official SDKs of
/// ElevenLabs disagree on which of two counts.
fn among_fields<'a>(value: &'a [u8], time: &str, digest: &str) -> Option<(&'a [u8], &'a [u8])> {
    let sole = |name: &str| {
        let mut found = value.split(|it| *it == b',').filter_map(|it| field(it, name));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    };
    Some((sole(time)?, sole(digest)?))
}

fn field<'a>(element: &'a [u8], name: &str) -> Option<&'a [u8]> {
    element.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// Whether a value has the shape of this scheme: where several schemes read the same
/// header, the shape tells which of them decides. For fields, one `=` is enough, so that
/// no broken header is handed on to a weaker scheme.
pub(super) fn fits(mac: &Mac, value: &[u8]) -> bool {
    match mac.layout {
        Layout::Fields { .. } => value.contains(&b'='),
        Layout::Bare { .. } | Layout::Several { .. } => read(mac, value).is_some(),
    }
}

/// The moment that these digits name, or nothing if they are not a time. A number beyond
/// all calendars is a time: the far end of ours.
pub(super) fn moment(mac: &Mac, clock: &Clock, digits: &[u8]) -> Option<Timestamp> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let printed_anew = mac.covers(&Piece::TimeAsNumber);
    let digits = if printed_anew { without_leading_zeros(digits) } else { digits };
    if digits.len() > TIME_DIGITS_MAX {
        return None;
    }
    let number = digits.iter().fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    });
    if printed_anew && number > SAFE_INTEGER_MAX {
        return None;
    }
    let millis = match clock.unit {
        Unit::Millis => number,
        Unit::ByMagnitude if number >= MILLIS_FROM => number,
        Unit::Seconds | Unit::ByMagnitude => number.saturating_mul(1000),
    };
    Some(Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)))
}
