//! Reads what is stored: over the API of a running gateway, or from its store's folder.
//! Both give the JSON of the API.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::event::Kind;
use hookgate_core::{mask, provider};
use hookgate_store::{
    Archive, Body, EventFilter, EventId, Order, Page, RejectionFilter, Status, parse_rejection_id,
};
use serde_json::Value;

use crate::cli;
use crate::client::Api;
use crate::config::{self, RawConfig};
use crate::environment::Environment;
use crate::exit::Usage;
use crate::{input, output};

/// What one request to the API brings: as much as it gives.
const PAGE: usize = 1000;

/// Where stored requests are read.
pub(crate) enum Stored {
    /// From a running gateway.
    Api(Api),
    /// From a folder, also while a gateway writes to it.
    Folder(Box<Archive>),
}

/// What a list shows.
#[derive(Clone, Debug)]
pub(crate) enum List {
    /// Events.
    Events(EventFilter),
    /// Refused requests.
    Rejections(RejectionFilter),
}

/// A walk along a list, page by page.
pub(crate) struct Walk {
    list: List,
    order: Order,
    place: Place,
}

/// How far a walk has come.
#[derive(Clone, Debug)]
enum Place {
    Start,
    /// What the API calls the place.
    Cursor(String),
    /// Behind this record.
    After(u64),
    End,
}

/// Where the store is, for commands that take no configuration file.
pub(crate) fn place(
    environment: &Environment,
    flag: Option<&str>,
) -> anyhow::Result<config::Place> {
    let (raw, _) = RawConfig::read(None)?;
    config::place(&raw.store, flag, environment)
}

/// The folder of what belongs to this node, for commands that take no configuration file.
pub(crate) fn node_folder(environment: &Environment) -> anyhow::Result<PathBuf> {
    let (raw, _) = RawConfig::read(None)?;
    config::node_folder(&raw.store, environment)
}

impl Stored {
    /// Opens the folder that is named; without one asks the gateway, and if that cannot be
    /// reached and its folder is here, opens that.
    pub(crate) async fn open(from: &cli::From, environment: &Environment) -> anyhow::Result<Self> {
        if let Some(folder) = &from.store {
            if folder.to_str().is_some_and(hookgate_store::is_url) {
                return Err(config::only_folders());
            }
            return Self::folder(folder);
        }
        let (raw, _) = RawConfig::read(None)?;
        let place = config::place(&raw.store, None, environment)?;
        let folder = config::node_folder(&raw.store, environment)?;
        let api = Api::new(environment, &folder)?;
        let is_elsewhere = matches!(place, config::Place::Postgres(_));
        if is_elsewhere || !folder.is_dir() || api.is_there().await {
            return Ok(Self::Api(api));
        }
        output::remark(format_args!(
            "(no gateway answers at {}: reading {})",
            api.base(),
            folder.display()
        ));
        Self::folder(&folder)
    }

    fn folder(folder: &Path) -> anyhow::Result<Self> {
        let archive = Archive::open(folder)
            .with_context(|| format!("cannot read the store in {}", folder.display()))?;
        Ok(Self::Folder(Box::new(archive)))
    }

    /// One event in full, or nothing.
    pub(crate) async fn event(&self, id: &str) -> anyhow::Result<Option<Value>> {
        let Some(id) = EventId::parse(id) else { return Ok(None) };
        match self {
            Self::Api(api) => api.find(&format!("/api/v1/events/{id}")).await,
            Self::Folder(archive) => {
                let Some(event) = archive.event(id)? else { return Ok(None) };
                let body = match archive.body(id)? {
                    Some(Body::Whole(bytes)) => Some(bytes),
                    Some(Body::Large(_)) | None => None,
                };
                Ok(Some(event.detail(body.as_deref())))
            }
        }
    }

    /// The exact bytes of an event's body, or nothing if they were erased.
    pub(crate) async fn body(&self, id: &str) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::Api(api) => api.bytes(&format!("/api/v1/events/{id}/raw")).await,
            Self::Folder(archive) => {
                let id = EventId::parse(id).context("the event has no id")?;
                archive.body(id)?.map(whole).transpose()
            }
        }
    }

    /// One refused request in full, or nothing. Only a gateway knows the secrets that a
    /// diagnosis needs.
    pub(crate) async fn rejection(&self, id: &str) -> anyhow::Result<Option<Value>> {
        let Some(id) = parse_rejection_id(id) else { return Ok(None) };
        match self {
            Self::Api(api) => api.find(&format!("/api/v1/rejections/rej_{}", id.simple())).await,
            Self::Folder(archive) => {
                Ok(archive.rejection(id)?.map(|(rejection, _)| rejection.detail()))
            }
        }
    }

    /// A walk that begins behind the newest event that there is now.
    pub(crate) async fn news(&self, filter: EventFilter) -> anyhow::Result<Walk> {
        let mut back = Walk::new(List::Events(EventFilter::default()), Order::NewestFirst);
        let newest = back.next(self, 1).await?.pop();
        let place = newest.as_ref().and_then(seq).map_or(Place::Start, Place::After);
        Ok(Walk { list: List::Events(filter), order: Order::OldestFirst, place })
    }
}

impl Walk {
    /// A walk from the beginning.
    pub(crate) fn new(list: List, order: Order) -> Self {
        Self { list, order, place: Place::Start }
    }

    /// The next page, at most `limit` records; empty at the end. Oldest first there may be
    /// more later.
    pub(crate) async fn next(
        &mut self,
        stored: &Stored,
        limit: usize,
    ) -> anyhow::Result<Vec<Value>> {
        if matches!(self.place, Place::End) {
            return Ok(Vec::new());
        }
        let limit = limit.min(PAGE);
        match stored {
            Stored::Api(api) => self.next_of_api(api, limit).await,
            Stored::Folder(archive) => self.next_of_folder(archive, limit),
        }
    }

    async fn next_of_api(&mut self, api: &Api, limit: usize) -> anyhow::Result<Vec<Value>> {
        let (path, mut query) = match &self.list {
            List::Events(filter) => ("/api/v1/events", event_query(filter)),
            List::Rejections(filter) => ("/api/v1/rejections", rejection_query(filter)),
        };
        query.push(("limit", limit.to_string()));
        if self.order == Order::OldestFirst {
            query.push(("order", "asc".to_owned()));
        }
        if let Place::Cursor(cursor) = &self.place {
            query.push(("cursor", cursor.clone()));
        }
        let mut page = api.get(path, &query).await?;
        self.place = match page.get("next_cursor").and_then(Value::as_str) {
            Some(cursor) => Place::Cursor(cursor.to_owned()),
            None => Place::End,
        };
        match page.get_mut("data").map(Value::take) {
            Some(Value::Array(data)) => Ok(data),
            _ => anyhow::bail!("{path} did not answer with a list"),
        }
    }

    fn next_of_folder(&mut self, archive: &Archive, limit: usize) -> anyhow::Result<Vec<Value>> {
        let after = match self.place {
            Place::After(seq) => Some(seq),
            _ => None,
        };
        let page = Page { order: self.order, after, limit };
        let data: Vec<Value> = match &self.list {
            List::Events(filter) => {
                archive.events(filter, page)?.iter().map(hookgate_store::Event::summary).collect()
            }
            List::Rejections(filter) => archive
                .rejections(filter, page)?
                .iter()
                .map(hookgate_store::Rejection::summary)
                .collect(),
        };
        if let Some(seq) = data.last().and_then(seq) {
            self.place = Place::After(seq);
        }
        Ok(data)
    }

    /// At most `limit` records from here on.
    pub(crate) async fn take(
        &mut self,
        stored: &Stored,
        limit: usize,
    ) -> anyhow::Result<Vec<Value>> {
        let mut records = Vec::new();
        while records.len() < limit {
            let page = self.next(stored, limit.saturating_sub(records.len())).await?;
            if page.is_empty() {
                break;
            }
            records.extend(page);
        }
        Ok(records)
    }
}

/// A record's place in the order of all.
pub(crate) fn seq(record: &Value) -> Option<u64> {
    record.get("seq")?.as_u64()
}

/// The body in base64.
pub(crate) fn base64(body: &[u8]) -> String {
    STANDARD.encode(body)
}

/// A text of a record, made visible; a dash for none.
pub(crate) fn text(record: &Value, pointer: &str, chars_max: usize) -> String {
    match record.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => output::cell(text, chars_max),
        Some(other) => output::cell(&other.to_string(), chars_max),
    }
}

/// When a record came, to the second.
pub(crate) fn time(record: &Value) -> String {
    moment(record, "/received_at")
}

/// A time of a record, to the second; a dash for none.
pub(crate) fn moment(record: &Value, pointer: &str) -> String {
    let text = record.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    match text.split_once('.') {
        Some((seconds, _)) => mask::visible(&format!("{}Z", seconds.replace('T', " "))),
        None => mask::visible(text),
    }
}

fn whole(body: Body) -> anyhow::Result<Vec<u8>> {
    match body {
        Body::Whole(bytes) => Ok(bytes.to_vec()),
        Body::Large(mut file) => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut bytes)
                .context("cannot read a large body")?;
            Ok(bytes)
        }
    }
}

/// The filter that these flags make. A word that names nothing is an error, so that a
/// typing error does not look like an empty store.
pub(crate) fn event_filter(flags: &cli::EventFilter) -> anyhow::Result<EventFilter> {
    let now = input::now();
    let moment = |flag, text: &Option<String>| {
        text.as_deref().map(|text| input::moment(flag, text, now)).transpose()
    };
    let providers = provider::ALL.map(|it| it.name);
    let kinds = Kind::ALL.map(Kind::name);
    let statuses = [Status::Accepted, Status::Quarantined];
    let status = one_of("--status", flags.status.as_deref(), &statuses.map(Status::name))?;
    Ok(EventFilter {
        provider: one_of("--provider", flags.provider.as_deref(), &providers)?,
        source: flags.source.clone(),
        tenant: flags.tenant.clone(),
        event_type: flags.event_type.clone(),
        kind: one_of("--kind", flags.kind.as_deref(), &kinds)?,
        conversation: flags.conversation.clone(),
        status: status.and_then(|name| statuses.into_iter().find(|it| it.name() == name)),
        since: moment("--since", &flags.since)?,
        until: moment("--until", &flags.until)?,
        q: flags.q.clone(),
    })
}

/// The word, if it is one of these.
pub(crate) fn one_of(
    flag: &str,
    word: Option<&str>,
    words: &[&str],
) -> anyhow::Result<Option<String>> {
    match word {
        Some(word) if !words.contains(&word) => {
            Err(Usage::new(format!("{flag} {word}: there are {}", words.join(", "))).into())
        }
        word => Ok(word.map(str::to_owned)),
    }
}

/// The filter as the API takes it.
pub(crate) fn event_query(filter: &EventFilter) -> Vec<(&'static str, String)> {
    let rows = [
        ("provider", filter.provider.clone()),
        ("source", filter.source.clone()),
        ("tenant", filter.tenant.clone()),
        ("type", filter.event_type.clone()),
        ("kind", filter.kind.clone()),
        ("conversation", filter.conversation.clone()),
        ("status", filter.status.map(|it| it.name().to_owned())),
        ("since", filter.since.map(|it| it.to_string())),
        ("until", filter.until.map(|it| it.to_string())),
        ("q", filter.q.clone()),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn rejection_query(filter: &RejectionFilter) -> Vec<(&'static str, String)> {
    let rows = [
        ("source", filter.source.clone()),
        ("since", filter.since.map(|it| it.to_string())),
        ("until", filter.until.map(|it| it.to_string())),
        ("settled", filter.settled.then(|| "true".to_owned())),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
