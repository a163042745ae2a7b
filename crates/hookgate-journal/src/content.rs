//! What a region of a segment holds, for those who count and report and do not
//! read: recovery and the check.

use crate::format::PayloadState;
use crate::segment::Segment;
use crate::walk::{BODY_AT, Item, Items, Region};

/// What a region holds.
pub(crate) enum Content {
    Record { seq: u64, is_erased: bool },
    Bad { offset: u32, bytes: u64 },
}

/// The records and the bad stretches of `region`, whose bytes are in `body`.
pub(crate) fn contents<'a>(
    segment: &'a Segment,
    region: Region,
    body: &'a [u8],
) -> impl Iterator<Item = Content> + 'a {
    let (body_at, whole) = match region {
        Region::Batch(header) => (header.position.offset.saturating_add(BODY_AT), None),
        // Reported as one, whatever can be saved out of it.
        Region::Bad { at, bytes } => (at, Some(Content::Bad { offset: at, bytes: bytes.into() })),
    };
    let reports_items = whole.is_none();
    let items = Items::new(body, segment.salt).filter_map(move |item| match item {
        Item::Record { at, record } => Some(match record.payload_state() {
            PayloadState::Damaged => Content::Bad {
                offset: body_at.saturating_add(at),
                bytes: record.header.bytes().unwrap_or(0) as u64,
            },
            state => {
                Content::Record { seq: record.header.seq, is_erased: state == PayloadState::Erased }
            }
        }),
        Item::Bad { at, bytes } => reports_items
            .then(|| Content::Bad { offset: body_at.saturating_add(at), bytes: bytes.into() }),
    });
    whole.into_iter().chain(items)
}
