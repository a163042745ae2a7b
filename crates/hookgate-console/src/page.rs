//! Pages of lists: how long they are, where they start, and the cursor that leads on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookgate_store::{Order, Page, Rows};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;
use crate::query::{Parameters, bad};

/// What a page has unless asked otherwise.
const LIMIT_DEFAULT: usize = 50;

/// What a page has at most. Who asks for more gets this.
const LIMIT_MAX: usize = 1000;

/// What every list knows.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Asked` reads")]
pub(crate) struct Paged {
    /// How many to show: 50 unless said otherwise, 1000 at most.
    #[param(minimum = 1)]
    limit: Option<u64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What a list knows that can be read in both directions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Asked` reads")]
pub(crate) struct Ordered {
    /// `desc`, newest first, unless it is `asc`. Oldest first, there is always a
    /// `next_cursor`: poll with it to follow.
    #[param(inline)]
    order: Option<Direction>,
    /// How many to show: 50 unless said otherwise, 1000 at most.
    #[param(minimum = 1)]
    limit: Option<u64>,
    /// The `next_cursor` of the page before, with the same `order`.
    cursor: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it describes what `Asked` reads")]
enum Direction {
    Desc,
    Asc,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    data: Vec<T>,
    /// Pass it back as `cursor` for the next page; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl<T> Listing<T> {
    /// What it shows, and the cursor.
    pub(crate) fn into_parts(self) -> (Vec<T>, Option<String>) {
        (self.data, self.next_cursor)
    }
}

/// A list that has pages. A cursor of one leads nowhere in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// The events.
    Events,
    /// The refused requests.
    Rejections,
    /// The refused requests that are judged again.
    Retries,
    /// The events whose ownership is judged again.
    Reattributions,
    /// The contradictions.
    Violations,
    /// The tenants.
    Tenants,
    /// The keys of a tenant.
    Keys,
    /// The credentials of a tenant.
    Credentials,
    /// The bindings.
    Bindings,
    /// The conversations.
    Conversations,
    /// The sources.
    Sources,
    /// The URL tokens of a source.
    Tokens,
    /// The erasures.
    Erasures,
    /// The alerts.
    Alerts,
    /// The tool calls.
    ToolCalls,
    /// The recordings.
    Recordings,
    /// The destinations.
    Destinations,
    /// The deliveries.
    Deliveries,
    /// The deliveries that are tried again.
    DeliveryRetries,
    /// The events that are delivered again.
    Replays,
}

impl List {
    const fn tag(self) -> u8 {
        match self {
            Self::Events => b'e',
            Self::Rejections => b'r',
            Self::Retries => b't',
            Self::Reattributions => b'a',
            Self::Violations => b'v',
            Self::Tenants => b'n',
            Self::Keys => b'k',
            Self::Credentials => b'c',
            Self::Bindings => b'b',
            Self::Conversations => b'o',
            Self::Sources => b's',
            Self::Tokens => b'u',
            Self::Erasures => b'x',
            Self::Alerts => b'w',
            Self::ToolCalls => b'l',
            Self::Recordings => b'm',
            Self::Destinations => b'd',
            Self::Deliveries => b'y',
            Self::DeliveryRetries => b'z',
            Self::Replays => b'p',
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
    /// The number behind which it goes on.
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
    pub(crate) fn read(list: List, query: &Parameters) -> Result<Self, Problem> {
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

    /// The same for a list of the registry.
    pub(crate) fn rows(&self) -> Rows {
        let limit = u32::try_from(self.limit.saturating_add(1)).unwrap_or(u32::MAX);
        Rows { after: self.from.after, limit }
    }

    /// The answer. Oldest first, it always has a cursor: more may come.
    pub(crate) fn answer<T, U>(
        self,
        mut found: Vec<T>,
        place: impl Fn(&T) -> u64,
        show: impl Fn(&T) -> U,
    ) -> Listing<U> {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let last = found.last().map(place);
        let next = Cursor { after: last.or(self.from.after), ..self.from };
        let next = (more || self.from.order == Order::OldestFirst).then(|| next.print());
        Listing { data: found.iter().map(show).collect(), next_cursor: next }
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

/// A page of a list that is short enough to be in memory whole, newest first.
#[derive(Debug)]
pub(crate) struct Slice {
    list: List,
    after: Option<String>,
    limit: usize,
}

impl Slice {
    /// Reads `cursor` and `limit`.
    pub(crate) fn read(list: List, query: &Parameters) -> Result<Self, Problem> {
        let after = query.raw("cursor").map(|text| Self::parse(list, text).ok_or_else(Self::gone));
        let limit = query.raw("limit").map_or(Ok(LIMIT_DEFAULT), limit)?;
        Ok(Self { list, after: after.transpose()?, limit })
    }

    /// The page out of `all`, each of which has a `name` of its own.
    pub(crate) fn answer<T, U>(
        self,
        all: &[T],
        name: impl Fn(&T) -> String,
        show: impl Fn(&T) -> U,
    ) -> Result<Listing<U>, Problem> {
        let behind = |after: &String| all.iter().position(|it| name(it) == *after);
        let start = match self.after.as_ref() {
            None => 0,
            Some(after) => behind(after).ok_or_else(Self::gone)?.saturating_add(1),
        };
        let shown: Vec<&T> = all.iter().skip(start).take(self.limit).collect();
        let more = all.len() > start.saturating_add(shown.len());
        let last = shown.last().filter(|_| more);
        let next_cursor = last.map(|it| Self::print(self.list, &name(it)));
        Ok(Listing { data: shown.into_iter().map(show).collect(), next_cursor })
    }

    fn print(list: List, name: &str) -> String {
        URL_SAFE_NO_PAD.encode([&[list.tag(), b'n'], name.as_bytes()].concat())
    }

    fn parse(list: List, text: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let name = bytes.strip_prefix(&[list.tag(), b'n'])?;
        std::str::from_utf8(name).ok().map(str::to_owned)
    }

    fn gone() -> Problem {
        bad("cursor", "a `next_cursor` of this list, whose last entry is still there")
    }
}
