//! What runs behind an open stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use hookgate_core::tenant::Scope;
use hookgate_store::{ReadError, Stretch};
use http_body_util::channel::Sender;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::seats::Seat;
use super::wanted::Wanted;
use super::{place, shown};
use crate::problem::Problem;
use crate::{Shared, guard};

/// How often a stream says that it is there when nothing else is to be said. Proxies cut
/// what is silent for a minute or, some of them, half of one; and it finds who hung up.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How many events are read at once: all that a stream holds, without their bodies.
const PAGE: usize = 50;

/// How long a stream that is at the end rests after a look. The first event after a silence
/// comes at once; of many, some come together, so that many streams stay cheap.
const PACE: Duration = Duration::from_millis(100);

/// So far is counted how many events wait for somebody who was away.
const BEHIND_MAX: usize = 1000;

/// How soon a client should come back that was cut off.
const RETRY: &str = "retry: 1000\n";

/// An open stream.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) shared: Arc<Shared>,
    pub(super) scope: Scope,
    /// The header with the token, which may be taken away while the stream is open.
    pub(super) token: HeaderMap,
    pub(super) wanted: Wanted,
    /// Everything up to here was passed on.
    pub(super) after: u64,
    pub(super) out: Sender<Bytes, io::Error>,
    /// When the client heard of it last.
    pub(super) spoke: Instant,
    #[expect(dead_code, reason = "it is given back when the stream ends")]
    pub(super) seat: Seat,
}

/// Why a stream ends before the gateway does.
enum End {
    /// The client is gone, or may not read any more.
    Over,
    /// The store cannot be read.
    Failed,
}

impl Follower {
    /// Passes on until the client has gone, its token is void or the gateway stops.
    pub(super) async fn run(mut self, is_new: bool) {
        let mut stop = self.shared.console.stop.clone();
        let end = tokio::select! {
            biased;
            () = stopped(&mut stop) => End::Over,
            end = self.follow(is_new) => end,
        };
        if matches!(end, End::Failed) {
            // So that nobody takes it for the end.
            self.out.abort(io::ErrorKind::Other.into());
        }
    }

    async fn follow(&mut self, is_new: bool) -> End {
        match self.try_to_follow(is_new).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_to_follow(&mut self, is_new: bool) -> Result<std::convert::Infallible, End> {
        let mut listed = self.shared.console.store.listed();
        let behind = if is_new { (0, false) } else { self.behind().await? };
        let hello = json!({ "behind": behind.0, "more": behind.1 });
        let id = self.id(self.after);
        self.send(format!("{RETRY}id: {id}\nevent: hello\ndata: {hello}\n\n")).await?;
        let mut is_live = false;
        loop {
            // The token may have been removed since, and its tenant erased.
            let now = guard::scope(&self.token, &self.shared);
            if now.as_ref() != Some(&self.scope) {
                return Err(End::Over);
            }
            let began = Instant::now();
            listed.borrow_and_update();
            let mut is_full = false;
            if let Some(stretch) = self.stretch().await? {
                is_full = stretch.events.len() >= PAGE;
                self.pass_on(stretch).await?;
            }
            let is_first = !is_live && !is_full;
            if is_first || self.spoke.elapsed() >= HEARTBEAT {
                self.tell_place(if is_first { "live" } else { "here" }).await?;
                is_live |= is_first;
            }
            if is_full {
                continue;
            }
            // It wakes for a new event, and without one for the next heartbeat.
            match timeout_at(self.spoke + HEARTBEAT, listed.changed()).await {
                Ok(Ok(())) => sleep_until(began + PACE).await,
                // The store is closed.
                Ok(Err(_)) => return Err(End::Over),
                Err(_) => {}
            }
        }
    }

    /// What lies behind the last place, if it can be read now.
    async fn stretch(&self) -> Result<Option<Stretch>, End> {
        let filter = self.wanted.filter.clone();
        let store = &self.shared.console.store;
        match store.stretch(&self.scope, filter, self.after, PAGE).await {
            Ok(stretch) => Ok(Some(stretch)),
            Err(ReadError::Behind) => Ok(None),
            Err(error) => {
                // It is logged there.
                drop(Problem::reading(error));
                Err(End::Failed)
            }
        }
    }

    /// How many events wait, and whether there are more than are counted.
    async fn behind(&self) -> Result<(usize, bool), End> {
        let filter = self.wanted.filter.clone();
        let store = &self.shared.console.store;
        // It waits until what was acknowledged before can be listed.
        drop(place::newest(store).await);
        let limit = BEHIND_MAX.saturating_add(1);
        let Ok(stretch) = store.stretch(&self.scope, filter, self.after, limit).await else {
            // The next look says what is wrong.
            return Ok((0, true));
        };
        let more = stretch.events.len() > BEHIND_MAX;
        let wanted = |it: &&hookgate_store::Event| self.wanted.takes(it) && !it.is_erased;
        let waiting = stretch.events.iter().take(BEHIND_MAX).filter(wanted).count();
        Ok((waiting, more))
    }

    /// Passes on what was read, and says what of it is not there any more.
    async fn pass_on(&mut self, stretch: Stretch) -> Result<(), End> {
        let mut gap = stretch.unreadable;
        for event in stretch.events {
            if self.wanted.takes(&event) {
                match self.message(&event).await? {
                    Some(message) => {
                        self.tell_gap(&mut gap).await?;
                        self.after = event.seq;
                        let id = self.id(event.seq);
                        self.send(format!("id: {id}\nevent: event\ndata: {message}\n\n")).await?;
                    }
                    None => gap = gap.saturating_add(1),
                }
            }
            self.after = event.seq;
        }
        self.tell_gap(&mut gap).await
    }

    /// The event as it is passed on; nothing if it was erased.
    async fn message(&self, event: &hookgate_store::Event) -> Result<Option<Value>, End> {
        if event.is_erased {
            return Ok(None);
        }
        if !self.wanted.is_raw {
            return Ok(Some(event.summary()));
        }
        match shown::raw(&self.shared, &self.scope, event).await {
            Ok(message) => Ok(message),
            Err(Problem::Damaged) => Ok(None),
            Err(_) => Err(End::Failed),
        }
    }

    async fn tell_gap(&mut self, gap: &mut u64) -> Result<(), End> {
        let count = std::mem::take(gap);
        if count == 0 {
            return Ok(());
        }
        let (id, gap) = (self.id(self.after), json!({ "count": count }));
        self.send(format!("id: {id}\nevent: gap\ndata: {gap}\n\n")).await
    }

    /// Says that the stream is there, and how far it has come: behind everything that is
    /// stored, also what it does not pass on.
    async fn tell_place(&mut self, word: &str) -> Result<(), End> {
        let store = &self.shared.console.store;
        if let Ok(newest) = place::newest(store).await
            && let Some(stretch) = self.stretch().await?
        {
            let is_end = stretch.events.len() < PAGE;
            self.pass_on(stretch).await?;
            if is_end {
                self.after = self.after.max(newest);
            }
        }
        let id = self.id(self.after);
        self.send(format!(": {word}\nid: {id}\n\n")).await
    }

    fn id(&self, seq: u64) -> String {
        place::print(self.shared.console.store.id(), seq)
    }

    async fn send(&mut self, message: String) -> Result<(), End> {
        self.out.send_data(message.into()).await.map_err(|_| End::Over)?;
        self.spoke = Instant::now();
        Ok(())
    }
}

/// Waits until the gateway stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|it| *it).await.is_err() {
        // Nobody is left to say it.
        std::future::pending::<()>().await;
    }
}
