//! The commands of destinations and deliveries.

#![expect(clippy::doc_markdown, reason = "these comments are the help, printed as they are")]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::registry::{Listing, Print};

#[derive(Debug, Subcommand)]
pub(crate) enum Destination {
    /// Add a destination. Prints the secret that signs its deliveries, this once.
    Add {
        /// Whose: it gets this tenant's events [default: the operator's, and gets all].
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        settings: Box<Settings>,
        #[command(flatten)]
        print: Print,
    },
    /// List destinations, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one destination, without its secret.
    Show {
        /// The destination's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
    /// Change a destination. What is not named stays.
    Set {
        /// The destination's id.
        id: String,
        #[command(flatten)]
        settings: Box<Settings>,
        /// Take this back to what holds without it: filter, template, name …; repeat it for several.
        #[arg(long, value_name = "MEMBER")]
        clear: Vec<String>,
        #[command(flatten)]
        print: Print,
    },
    /// Remove a destination, with what waits for it.
    Remove {
        /// The destination's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
    /// Make a new secret. The old one signs too, for a while.
    Rotate {
        /// The destination's id.
        id: String,
        /// How long the old one signs too: 0, 30m, 24h.
        #[arg(long, value_name = "TIME", default_value = "24h")]
        overlap: String,
        #[command(flatten)]
        print: Print,
    },
    /// Send a test.
    Test {
        /// The destination's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
    /// Let a destination have events again. What waited goes on.
    Enable {
        /// The destination's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
    /// Let a destination have no events. What waits goes on waiting.
    Disable {
        /// The destination's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
}

/// What a destination wants.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Settings {
    /// http, slack, discord or ntfy.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Where.
    #[arg(long, conflicts_with = "url_file")]
    pub(crate) url: Option<String>,
    /// Where, in a file: the URL of a chat's webhook is a secret.
    #[arg(long, value_name = "FILE")]
    pub(crate) url_file: Option<PathBuf>,
    /// A kind of event (call.ended, call.*); repeat it for several [default: all].
    #[arg(long = "event", value_name = "KIND")]
    pub(crate) events: Vec<String>,
    /// Events of this provider; repeat it for several [default: all].
    #[arg(long = "provider", value_name = "NAME")]
    pub(crate) providers: Vec<String>,
    /// canonical, raw or cloudevents.
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// What must hold: '{"pointer":"/kind","op":"eq","value":"call.ended"}'; repeat it for several.
    #[arg(long = "filter", value_name = "JSON")]
    pub(crate) filter: Vec<String>,
    /// The text of a message to slack, discord or ntfy.
    #[arg(long, value_name = "TEXT")]
    pub(crate) template: Option<String>,
    /// So many a second at most.
    #[arg(long, value_name = "N")]
    pub(crate) rate_per_second: Option<u32>,
    /// So many at once at most.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
    /// Whether the events of a conversation come one after the other: true or false.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) ordered: Option<bool>,
    /// How long it may take, in milliseconds.
    #[arg(long, value_name = "N")]
    pub(crate) timeout_ms: Option<u32>,
    /// What people call it.
    #[arg(long)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Deliveries {
    /// List deliveries, newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        print: Print,
    },
    /// Show one delivery with its attempts.
    Show {
        /// The delivery's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
    /// Try again what was given up or skipped.
    Retry {
        /// These.
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// All of them.
        #[arg(long, conflicts_with_all = ["ids", "Filter"])]
        all: bool,
        #[command(flatten)]
        filter: Filter,
        /// Only say how many that would be.
        #[arg(long, conflicts_with = "ids")]
        dry_run: bool,
        #[command(flatten)]
        print: Print,
    },
}

/// Which deliveries. Everything given must hold.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Filter {
    /// Of events of this tenant.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// To this destination.
    #[arg(long, value_name = "ID")]
    pub(crate) destination: Option<String>,
    /// Of this event.
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
    /// In this state: pending, delivered, failed, dead_ours or skipped.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Of events of this kind (call.ended).
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Made then or later: 2026-11-22T10:00:00Z, 2026-11-22, or as long ago as 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Made before then.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// Which events are delivered again.
#[derive(Clone, Debug, Args)]
pub(crate) struct Replay {
    /// These.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// All that the other flags leave.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    /// Those of this source.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) source: Option<String>,
    /// Those of this provider.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) provider: Option<String>,
    /// Those of this tenant.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) tenant: Option<String>,
    /// Those of this kind (call.ended).
    #[arg(long, conflicts_with = "ids")]
    pub(crate) kind: Option<String>,
    /// Those of this call, chat, thread or ticket.
    #[arg(long, value_name = "ID", conflicts_with = "ids")]
    pub(crate) conversation: Option<String>,
    /// Those received then or later: 2026-11-22, or as long ago as 2h, 7d.
    #[arg(long, value_name = "TIME", conflicts_with = "ids")]
    pub(crate) since: Option<String>,
    /// Those received before then.
    #[arg(long, value_name = "TIME", conflicts_with = "ids")]
    pub(crate) until: Option<String>,
    /// To this destination [default: all that want them].
    #[arg(long, value_name = "ID")]
    pub(crate) destination: Option<String>,
    /// Name the run: begun anew under the same name it goes on, and makes nothing twice.
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    pub(crate) run: Option<String>,
    /// Only say how many that would be.
    #[arg(long, conflicts_with = "ids")]
    pub(crate) dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
