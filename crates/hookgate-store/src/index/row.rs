//! What the index holds of a record. Made from its head, whether that was just written or
//! is read again: so an index that is rebuilt is the index that was lost.

use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::TenantId;
use hookgate_journal::{LogId, Position};

use super::schema::{CONTRADICTION, OWNED, UNATTRIBUTED};
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
    pub(crate) verdict: u8,
    pub(crate) key: Option<Key>,
    pub(crate) blob: Option<[u8; 16]>,
    pub(crate) is_erased: bool,
    /// What few events have.
    pub(crate) more: Option<Box<More>>,
    texts: String,
    /// Where each text ends; nothing for one that is not there.
    ends: [Option<u32>; 7],
}

/// What few events have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct More {
    /// The conversation that it makes known.
    pub(crate) adoption: Option<Adoption>,
    /// The tenants that it names, if it contradicts.
    pub(crate) named: Vec<String>,
}

/// A conversation that an event makes known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Adoption {
    pub(crate) tenant: String,
    pub(crate) external_id: String,
    pub(crate) agent_id: Option<String>,
    pub(crate) phone_number_id: Option<String>,
}

impl Adoption {
    /// What the event with this head makes known, for this tenant.
    pub(crate) fn of<H>(head: &EventHead<'_, H>, tenant: &str) -> Option<Self> {
        let text = |kind| head.claimed(kind).map(str::to_owned);
        Some(Self {
            tenant: tenant.to_owned(),
            external_id: text(ClaimKind::Conversation)?,
            agent_id: text(ClaimKind::Agent),
            phone_number_id: text(ClaimKind::PhoneNumber),
        })
    }
}

impl More {
    fn of<H>(head: &EventHead<'_, H>, verdict: u8) -> Option<Box<Self>> {
        let mut more = Self::default();
        if let Some(tenant) = head.tenant.as_deref().filter(|_| head.is_adopting()) {
            more.adoption = Adoption::of(head, tenant);
        }
        if verdict == CONTRADICTION {
            let claimed = head.claims.iter().filter_map(|it| it.tenant.as_ref());
            let parties = [head.token_tenant.as_deref(), head.source_tenant.as_deref()];
            let all = claimed.map(TenantId::as_str).chain(parties.into_iter().flatten());
            for tenant in all {
                if !more.named.iter().any(|it| it == tenant) {
                    more.named.push(tenant.to_owned());
                }
            }
        }
        (more != Self::default()).then(|| Box::new(more))
    }
}

impl Row {
    /// The row of an event.
    pub(crate) fn new<H>(head: &EventHead<'_, H>) -> Self {
        let verdict = match &*head.ownership {
            "owned" => OWNED,
            "contradiction" => CONTRADICTION,
            _ => UNATTRIBUTED,
        };
        let named = [&head.tenant, &head.conversation, &head.external_id];
        let mut row = Self::with(head, named.map(Option::as_deref));
        (row.verdict, row.more) = (verdict, More::of(head, verdict));
        row.blob = head.blob.map(|it| it.0);
        row
    }

    /// The row of an event that was erased: nothing in it names anybody, but the
    /// conversation that it made known and others may be part of.
    pub(crate) fn erased<H>(head: &EventHead<'_, H>) -> Self {
        let mut row = Self::with(head, [None; 3]);
        row.is_erased = true;
        row.more = More::of(head, UNATTRIBUTED);
        row
    }

    fn with<H>(head: &EventHead<'_, H>, named: [Option<&str>; 3]) -> Self {
        let [tenant, conversation, external_id] = named;
        let all: [Option<&str>; 7] = [
            Some(&head.source),
            Some(&head.provider),
            Some(&head.event_type),
            Some(&head.kind),
            tenant,
            conversation,
            external_id,
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
            verdict: UNATTRIBUTED,
            key,
            blob: None,
            is_erased: false,
            more: None,
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
    pub(crate) fn read(head: &[u8], is_erased: bool) -> Result<Self, Unreadable> {
        let head: SlimHead<'_> = head::decode(head)?;
        Ok(match head.record {
            head::EVENT if is_erased => Self::Event(Row::erased(&head)),
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
