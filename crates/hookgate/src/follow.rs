//! Follows the events of a running gateway: reconnects by itself, goes on where it was, and
//! says what it missed.

use std::time::Duration;

use hookgate_core::mask::visible;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::client::{Api, Unopened};
use crate::sse::{Message, Messages};

/// Where the stream is.
const PATH: &str = "/api/v1/events/stream";

/// How long nothing may come before the connection is given up: three of the comments that
/// the gateway sends.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// How long the first attempt to reconnect waits; each further one twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// How long an attempt to reconnect waits at most.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What the gateway told.
#[derive(Debug)]
pub(crate) enum Told {
    /// The stream is open.
    Opened(Opened),
    /// An event.
    Event(Value),
    /// So many events between were erased or cannot be read.
    Gap(u64),
    /// Nothing new, and how far that is known.
    Place,
    /// The stream broke off or cannot be opened, and is tried again.
    Lost(String),
    /// The place from which to go on is none of this gateway's store: it goes on from now.
    Elsewhere,
}

/// How the stream begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// How many events are stored already behind the place that was named.
    pub(crate) behind: u64,
    /// Whether there are more than were counted.
    pub(crate) more: bool,
}

impl Opened {
    /// How many that are, in words; nothing for none.
    pub(crate) fn waiting(self) -> Option<String> {
        match (self.behind, self.more) {
            (0, false) => None,
            (0, true) => Some("some events".to_owned()),
            (1, false) => Some("1 event".to_owned()),
            (many, false) => Some(format!("{many} events")),
            (many, true) => Some(format!("more than {many} events")),
        }
    }
}

/// A stream that is followed.
pub(crate) struct Follow<'a> {
    api: &'a Api,
    query: Vec<(&'static str, String)>,
    since: Option<String>,
    place: Option<String>,
    open: Option<Open>,
    pause: Duration,
    /// What was said last of why it is not open.
    lost: Option<String>,
}

struct Open {
    response: reqwest::Response,
    messages: Messages,
}

impl<'a> Follow<'a> {
    /// Follows what the query names: from a place on that the stream gave earlier, else from
    /// where `since` says.
    pub(crate) fn new(
        api: &'a Api,
        query: Vec<(&'static str, String)>,
        since: Option<String>,
        place: Option<String>,
    ) -> Self {
        Self { api, query, since, place, open: None, pause: PAUSE_MIN, lost: None }
    }

    /// The place behind all that was told, once the stream was open.
    pub(crate) fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Hangs up for a while. The next call opens the stream again, behind all that was told.
    pub(crate) fn rest(&mut self) {
        self.open = None;
    }

    /// What the gateway tells next.
    ///
    /// # Errors
    ///
    /// The gateway refuses, and would again.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Told> {
        loop {
            let Some(open) = &mut self.open else {
                if let Some(told) = self.open().await? {
                    return Ok(told);
                }
                continue;
            };
            if let Some(message) = open.messages.next() {
                if let Some(told) = self.told(message) {
                    return Ok(told);
                }
                continue;
            }
            let lost = match timeout(SILENCE_MAX, open.response.chunk()).await {
                Ok(Ok(Some(bytes))) if open.messages.feed(&bytes) => continue,
                Ok(Ok(Some(_))) => "a message was too large",
                Ok(Ok(None)) => "the gateway ended it",
                Ok(Err(_)) => "the connection broke off",
                Err(_) => "nothing came for 45 s",
            };
            self.open = None;
            if self.lost.is_none() {
                return Ok(self.lose(lost.to_owned()));
            }
        }
    }

    /// Tries to open the stream; says so if that does not work for the first time.
    async fn open(&mut self) -> anyhow::Result<Option<Told>> {
        if self.lost.is_some() {
            sleep(self.pause).await;
            self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        }
        let mut query = self.query.clone();
        let place = self.place.as_deref();
        query.extend(self.since.clone().filter(|_| place.is_none()).map(|it| ("since", it)));
        let unopened = match self.try_to_open(&query, place).await {
            Ok(response) => {
                self.open = Some(Open { response, messages: Messages::default() });
                return Ok(None);
            }
            Err(Unopened::Never(error)) if place.is_some() => {
                // It may be the place that is refused: then there is a stream without one.
                match self.try_to_open(&self.query, None).await {
                    Ok(_) => {
                        (self.place, self.since) = (None, None);
                        return Ok(Some(Told::Elsewhere));
                    }
                    Err(Unopened::Never(_)) => return Err(error),
                    Err(later) => later,
                }
            }
            Err(unopened) => unopened,
        };
        match unopened {
            Unopened::Never(error) => Err(error),
            // What the gateway itself answers says more than that it broke off.
            Unopened::Answered(why) if self.lost.as_ref() != Some(&why) => Ok(Some(self.lose(why))),
            Unopened::Unreachable(why) if self.lost.is_none() => {
                Ok(Some(self.lose(why.to_owned())))
            }
            Unopened::Answered(_) | Unopened::Unreachable(_) => Ok(None),
        }
    }

    async fn try_to_open(
        &self,
        query: &[(&'static str, String)],
        place: Option<&str>,
    ) -> Result<reqwest::Response, Unopened> {
        let opening = timeout(SILENCE_MAX, self.api.open(PATH, query, place));
        opening.await.unwrap_or(Err(Unopened::Unreachable("it does not answer")))
    }

    fn lose(&mut self, why: String) -> Told {
        self.lost = Some(why.clone());
        Told::Lost(why)
    }

    fn told(&mut self, message: Message) -> Option<Told> {
        let data: Value = serde_json::from_str(&message.data).unwrap_or_default();
        let number = |name: &str| data.get(name).and_then(Value::as_u64).unwrap_or(0);
        let told = match message.event.as_str() {
            "hello" => {
                self.lost = None;
                self.pause = PAUSE_MIN;
                let more = data.get("more") == Some(&Value::Bool(true));
                Some(Told::Opened(Opened { behind: number("behind"), more }))
            }
            "event" => Some(Told::Event(data)),
            "gap" => Some(Told::Gap(number("count"))),
            "" => Some(Told::Place),
            // A later version may have more to tell.
            _ => None,
        };
        if let Some(id) = message.id {
            self.place = Some(visible(&id));
        }
        told
    }
}
