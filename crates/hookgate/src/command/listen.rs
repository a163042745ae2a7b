//! `hookgate listen`: passes live events on to a developer's own server, as they came and in
//! their order, from a place that outlives it.

mod local;
mod state;

use std::time::Duration;

use anyhow::Context as _;
use hookgate_core::event::Kind;
use hookgate_core::provider;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use self::local::{Answer, Local, Unsendable};
use self::state::State;
use crate::cli::listen::Listen;
use crate::client::{self, Api};
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::follow::{Follow, Opened, Told};
use crate::input;
use crate::output::{counted, line, remark};
use crate::stored::{one_of, text, time};

/// How long a server that does not answer is left alone; each further time twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// How long it is left alone at most: a person who restarts it does not wait longer.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How wide ids and types may be in a line, in characters.
const CELL_CHARS_MAX: usize = 40;

/// Runs the command until it is told to end.
pub(crate) fn run(flags: &Listen, environment: &Environment) -> anyhow::Result<Outcome> {
    let local = Local::new(flags)?;
    let query = query(flags)?;
    let since = flags.since.as_deref().map(since).transpose()?;
    client::block_on(async {
        let api = Api::here(environment)?;
        let state = State::open(flags, api.base(), environment)?;
        let place = state.place().map(str::to_owned).filter(|_| since.is_none());
        let is_known = place.is_some();
        let follow = Follow::new(&api, query, since, place);
        let mut session = Session {
            follow,
            api: &api,
            local,
            state,
            as_json: flags.json,
            is_away: is_known,
            has_begun: false,
            counts: Counts::default(),
        };
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
        tokio::select! {
            ended = session.run() => return ended.map(|never| match never {}),
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        session.sum_up();
        Ok(Outcome::Done)
    })
}

/// What the stream is asked for: accepted events alone, because nobody acts on others.
fn query(flags: &Listen) -> anyhow::Result<Vec<(&'static str, String)>> {
    let providers = provider::ALL.map(|it| it.name);
    for name in &flags.provider {
        one_of("--provider", Some(name), &providers)?;
    }
    let kind = one_of("--kind", flags.kind.as_deref(), &Kind::ALL.map(Kind::name))?;
    let several = |names: &[String]| (!names.is_empty()).then(|| names.join(","));
    let rows = [
        ("payload", Some("raw".to_owned())),
        ("status", Some("accepted".to_owned())),
        ("source", several(&flags.source)),
        ("provider", several(&flags.provider)),
        ("tenant", flags.tenant.clone()),
        ("type", flags.event_type.clone()),
        ("kind", kind),
        ("conversation", flags.conversation.clone()),
    ];
    Ok(rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// Where to begin, as the stream takes it: a time may be long ago, everything else is the
/// gateway's to judge.
fn since(text: &str) -> anyhow::Result<String> {
    if text.is_empty() {
        return Err(Usage::new("--since: say where, or leave it out").into());
    }
    let moment = input::moment("--since", text, input::now());
    Ok(moment.map_or_else(|_| text.to_owned(), |it| it.to_string()))
}

/// What came of the events.
#[derive(Debug, Default)]
struct Counts {
    /// Answered with a success.
    done: u64,
    /// Answered with something else, or not in time.
    others: u64,
    /// Could not be passed on.
    left_out: u64,
}

/// Events on their way from the gateway to the server.
struct Session<'a> {
    follow: Follow<'a>,
    api: &'a Api,
    local: Local,
    state: State,
    as_json: bool,
    /// Whether events may have come that it did not see, while it was not there.
    is_away: bool,
    has_begun: bool,
    counts: Counts,
}

impl Session<'_> {
    async fn run(&mut self) -> anyhow::Result<std::convert::Infallible> {
        if self.api.is_of_tenant() {
            remark(
                "With a tenant's key, known credentials inside bodies come masked: where that changes \
                 something, the provider's signature does not fit any more.",
            );
        }
        loop {
            match self.follow.next().await? {
                Told::Opened(opened) => self.opened(opened)?,
                Told::Event(event) => self.forward(&event).await?,
                Told::Gap(count) => {
                    self.counts.left_out = self.counts.left_out.saturating_add(count);
                    let events = events(count);
                    remark(format_args!(
                        "{events} between cannot be passed on: erased, or unreadable."
                    ));
                    self.keep_place()?;
                }
                Told::Place => self.keep_place()?,
                Told::Lost(why) => {
                    self.is_away = true;
                    let base = self.api.base();
                    remark(format_args!("No events from {base}: {why}. Trying again."));
                }
                Told::Elsewhere => remark(
                    "The gateway has another store than the last time: what came meanwhile is not \
                     known. Going on with what comes now; --since says otherwise.",
                ),
            }
        }
    }

    fn opened(&mut self, opened: Opened) -> anyhow::Result<()> {
        // What is said to be passed on is so whatever happens from here on.
        self.keep_place()?;
        if !std::mem::replace(&mut self.has_begun, true) {
            remark(format_args!(
                "Passing events of {} on to {}. Ctrl-C ends it.",
                self.api.base(),
                self.local.shown()
            ));
        } else if self.is_away {
            remark("The gateway is here again.");
        }
        if let Some(waiting) = opened.waiting() {
            if self.is_away {
                remark(format_args!("missed {waiting} while away, forwarding them now"));
            } else {
                remark(format_args!("{waiting} wait already, forwarding them now"));
            }
        }
        self.is_away = false;
        Ok(())
    }

    /// Passes one event on, however long that takes: the next ones wait.
    async fn forward(&mut self, event: &Value) -> anyhow::Result<()> {
        let request = match self.local.request(event, self.api).await {
            Ok(request) => request,
            Err(Unsendable::Gateway(error)) => return Err(error),
            Err(Unsendable::Event(why)) => {
                self.counts.left_out = self.counts.left_out.saturating_add(1);
                self.print(event, &Answer::none(why))?;
                return self.keep_place();
            }
        };
        if let Some(hashed) = self.local.first_hashed(event) {
            remark(format_args!(
                "{hashed} came as a token, of which a keyed hash is kept and no more: it is not passed \
                 on, so let your server not ask for it. (Said once.)"
            ));
        }
        let mut pause = PAUSE_MIN;
        let mut is_down = false;
        let answer = loop {
            match self.local.send(&request).await {
                Ok(answer) => break answer,
                Err(why) => {
                    if !std::mem::replace(&mut is_down, true) {
                        // Nobody reads it meanwhile.
                        self.follow.rest();
                        let url = self.local.shown();
                        remark(format_args!(
                            "{url} does not answer ({why}): waiting for it, with this event first."
                        ));
                    }
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
        };
        if is_down {
            remark(format_args!("{} answers again.", self.local.shown()));
        }
        let count =
            if answer.is_success() { &mut self.counts.done } else { &mut self.counts.others };
        *count = count.saturating_add(1);
        self.print(event, &answer)?;
        self.keep_place()
    }

    fn print(&self, event: &Value, answer: &Answer) -> anyhow::Result<()> {
        let field = |name: &str| event.get(name).cloned().unwrap_or_default();
        if self.as_json {
            line(json!({
                "id": field("id"),
                "seq": field("seq"),
                "source": field("source"),
                "type": field("type"),
                "status": answer.status,
                "micros": answer.micros(),
                "error": answer.error,
            }))?;
            return Ok(());
        }
        let cells = [
            time(event),
            text(event, "/source", CELL_CHARS_MAX),
            text(event, "/type", CELL_CHARS_MAX),
            text(event, "/id", CELL_CHARS_MAX),
            answer.to_string(),
        ];
        line(cells.join("  "))?;
        Ok(())
    }

    /// Remembers that everything so far was passed on.
    fn keep_place(&mut self) -> anyhow::Result<()> {
        match self.follow.place() {
            Some(place) => self.state.keep(place),
            None => Ok(()),
        }
    }

    fn sum_up(&self) {
        let Counts { done, others, left_out } = self.counts;
        let all = done.saturating_add(others);
        let mut text = format!("Passed on {}", events(all));
        if others > 0 {
            text.extend([", ", &others.to_string(), " of them without a 2xx"]);
        }
        if left_out > 0 {
            text.extend(["; ", &events(left_out), " could not be"]);
        }
        remark(format_args!("{text}. The next start goes on from here."));
    }
}

fn events(count: u64) -> String {
    counted(count, "event", "events")
}
