//! `hookgate events tail`: events as they come, from the stream of a running gateway or from
//! a store's folder.

use std::time::Duration;

use hookgate_store::{EventFilter, Order};
use serde_json::Value;

use super::{PAGE, row};
use crate::cli;
use crate::client::Api;
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::follow::{Follow, Told};
use crate::output::{self, line};
use crate::stored::{self, List, Stored, Walk};

/// How often a folder is looked at. A person does not see the difference to less.
const INTERVAL: Duration = Duration::from_millis(500);

/// Runs the command. It ends with the process.
pub(super) async fn run(
    filter: &cli::EventFilter,
    from_start: bool,
    from: &cli::From,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let filter = stored::event_filter(filter)?;
    if filter.until.is_some() {
        return Err(Usage::new("--until: a tail has no end; `hookgate events list` has").into());
    }
    match Stored::open(from, environment).await? {
        Stored::Api(api) => of_gateway(&api, filter, from_start, from.json).await,
        stored @ Stored::Folder(_) => of_folder(&stored, filter, from_start, from.json).await,
    }
}

async fn of_gateway(
    api: &Api,
    mut filter: EventFilter,
    from_start: bool,
    as_json: bool,
) -> anyhow::Result<Outcome> {
    let since = filter.since.take().map(|it| it.to_string());
    let since = since.or_else(|| from_start.then(|| "start".to_owned()));
    let mut follow = Follow::new(api, stored::event_query(&filter), since, None);
    let mut was_open = false;
    loop {
        match follow.next().await? {
            Told::Event(event) => print(&event, as_json)?,
            Told::Opened(opened) if was_open => match opened.waiting() {
                Some(waiting) => {
                    output::remark(format_args!("Missed {waiting} while away: printing them now."));
                }
                None => output::remark("Here again, nothing was missed."),
            },
            Told::Opened(_) => {
                was_open = true;
                say_waiting(as_json);
            }
            Told::Gap(count) => {
                output::remark(format_args!("{count} between were erased or cannot be read."));
            }
            Told::Lost(why) => {
                output::remark(format_args!("No events from {}: {why}. Trying again.", api.base()));
            }
            Told::Elsewhere => output::remark(
                "The gateway has another store than before: what came meanwhile is not known. \
                 Going on with what comes now.",
            ),
            Told::Place => {}
        }
    }
}

async fn of_folder(
    stored: &Stored,
    filter: EventFilter,
    from_start: bool,
    as_json: bool,
) -> anyhow::Result<Outcome> {
    let mut walk = if from_start || filter.since.is_some() {
        Walk::new(List::Events(filter), Order::OldestFirst)
    } else {
        stored.news(filter).await?
    };
    say_waiting(as_json);
    loop {
        let events = walk.next(stored, PAGE).await?;
        for event in &events {
            print(event, as_json)?;
        }
        if events.is_empty() {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

fn say_waiting(as_json: bool) {
    if !as_json {
        output::remark("Waiting for events. Ctrl-C ends it.");
    }
}

fn print(event: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        line(event)?;
    } else {
        line(row(event).join("  "))?;
    }
    Ok(())
}
