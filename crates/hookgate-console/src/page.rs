//! Pages of lists: how long they are, where they start, and the cursor that leads on.

use axum::Json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookgate_store::{Order, Page};
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::query::{Query, bad};

/// What a page has unless asked otherwise.
const LIMIT_DEFAULT: usize = 50;

/// What a page has at most. Who asks for more gets this.
const LIMIT_MAX: usize = 1000;

/// A list that has pages. A cursor of one leads nowhere in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// The events.
    Events,
    /// The refused requests.
    Rejections,
    /// The refused requests that are judged again.
    Retries,
}

impl List {
    const fn tag(self) -> u8 {
        match self {
            Self::Events => b'e',
            Self::Rejections => b'r',
            Self::Retries => b't',
        }
    }
}

/// A place in a list: behind the record `after`, or its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    /// The list.
    pub(crate) list: List,
    /// The order in which it is read.
    pub(crate) order: Order,
    /// The `seq` behind which it goes on.
    pub(crate) after: Option<u64>,
}

impl Cursor {
    /// As a client gets it: opaque, and safe in a URL.
    pub(crate) fn print(self) -> String {
        let mut bytes = self.head().to_vec();
        bytes.extend(self.after.into_iter().flat_map(u64::to_be_bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that `text` names in the list of `start`, in its order.
    pub(crate) fn parse(text: &str, start: Self) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let after = match bytes.strip_prefix(&start.head())? {
            [] => None,
            seq => Some(u64::from_be_bytes(seq.try_into().ok()?)),
        };
        Some(Self { after, ..start })
    }

    const fn head(self) -> [u8; 2] {
        let order = match self.order {
            Order::NewestFirst => b'd',
            Order::OldestFirst => b'a',
        };
        [self.list.tag(), order]
    }
}

/// A page that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    from: Cursor,
    limit: usize,
}

impl Asked {
    /// Reads `order`, `cursor` and `limit`.
    pub(crate) fn read(list: List, query: &Query) -> Result<Self, Problem> {
        let orders = [("desc", Order::NewestFirst), ("asc", Order::OldestFirst)];
        let order = query.choice("order", orders)?.unwrap_or(Order::NewestFirst);
        let start = Cursor { list, order, after: None };
        let from = match query.raw("cursor") {
            None => start,
            Some(text) => Cursor::parse(text, start).ok_or_else(|| {
                bad("cursor", "a `next_cursor` of this list, with the same `order`")
            })?,
        };
        Ok(Self { from, limit: query.raw("limit").map_or(Ok(LIMIT_DEFAULT), limit)? })
    }

    /// What to ask the store for: one record more than the page shows tells whether
    /// there is a next page.
    pub(crate) fn page(&self) -> Page {
        let Cursor { order, after, .. } = self.from;
        Page { order, after, limit: self.limit.saturating_add(1) }
    }

    /// The answer. Oldest first, it always has a cursor: more may come.
    pub(crate) fn answer<T>(
        self,
        mut found: Vec<T>,
        seq: impl Fn(&T) -> u64,
        show: impl Fn(&T) -> Value,
    ) -> Json<Value> {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let last = found.last().map(seq);
        let next = Cursor { after: last.or(self.from.after), ..self.from };
        let next = (more || self.from.order == Order::OldestFirst).then(|| next.print());
        let data: Vec<Value> = found.iter().map(show).collect();
        Json(json!({ "data": data, "next_cursor": next }))
    }
}

fn limit(text: &str) -> Result<usize, Problem> {
    let number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    // A number too large for the type is a large number.
    let limit = if number { text.parse().unwrap_or(LIMIT_MAX) } else { 0 };
    if limit == 0 {
        return Err(bad("limit", format!("a number from 1 to {LIMIT_MAX}")));
    }
    Ok(limit.min(LIMIT_MAX))
}
