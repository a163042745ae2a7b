//! What the index holds of a record. Made from its head, whether that was just written or
//! is read again: so an index that is rebuilt is the index that was lost.

use hookgate_journal::{LogId, Position};

use crate::bloom::Key;
use crate::head::{self, EventHead, SlimHead, Unreadable};

/// A record for the index, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) seq: u64,
    pub(crate) log: LogId,
    pub(crate) position: Position,
    pub(crate) change: Change,
}

/// What a record changes in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// An event.
    Event(Row),
    /// The event of this `seq` came again.
    Repetition(u64),
    /// Nothing that this version knows.
    Nothing,
}

/// An event's row. All its texts stand in one, so that making it costs one allocation on
/// the way of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: [u8; 16],
    pub(crate) at: i64,
    pub(crate) status: u8,
    pub(crate) key: Option<Key>,
    pub(crate) blob: Option<[u8; 16]>,
    texts: String,
    /// Where each text ends; nothing for one that is not there.
    ends: [Option<u32>; 7],
}

impl Row {
    /// The row of an event.
    pub(crate) fn new<H>(head: &EventHead<'_, H>) -> Self {
        let all: [Option<&str>; 7] = [
            Some(&head.source),
            Some(&head.provider),
            Some(&head.event_type),
            Some(&head.kind),
            head.tenant.as_deref(),
            head.conversation.as_deref(),
            head.external_id.as_deref(),
        ];
        let mut texts = String::with_capacity(all.iter().flatten().map(|it| it.len()).sum());
        let mut ends = [None; 7];
        for (end, text) in ends.iter_mut().zip(all) {
            if let Some(text) = text {
                texts.push_str(text);
                *end = u32::try_from(texts.len()).ok();
            }
        }
        // An event that was stored with other bytes is found by its own id alone: the key
        // stays with the event that it repeats.
        let key = head.key.filter(|_| head.original.is_none()).map(|it| it.0);
        Self {
            id: head.id.0,
            at: head.at,
            status: head.status,
            key,
            blob: head.blob.map(|it| it.0),
            texts,
            ends,
        }
    }

    /// Source, provider, type, kind, tenant, conversation, external id.
    pub(crate) fn texts(&self) -> [Option<&str>; 7] {
        let mut start = 0;
        self.ends.map(|end| {
            let end = usize::try_from(end?).ok()?;
            let text = self.texts.get(start..end);
            start = end;
            text
        })
    }
}

impl Change {
    /// What the record with this head changes.
    pub(crate) fn read(head: &[u8]) -> Result<Self, Unreadable> {
        let head: SlimHead<'_> = head::decode(head)?;
        Ok(match head.record {
            head::EVENT => Self::Event(Row::new(&head)),
            head::REPETITION => Self::Repetition(head.of),
            _ => Self::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_went_in() {
        let head = EventHead::<'_, ()> {
            source: "a".into(),
            provider: "".into(),
            event_type: "typ\u{e9}".into(),
            kind: "other".into(),
            conversation: Some("".into()),
            external_id: Some("x".into()),
            ..EventHead::default()
        };
        let expected =
            [Some("a"), Some(""), Some("typ\u{e9}"), Some("other"), None, Some(""), Some("x")];
        assert_eq!(Row::new(&head).texts(), expected);
    }
}
