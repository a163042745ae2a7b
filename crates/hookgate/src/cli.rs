//! The command line: every command and flag, declared once.

#![expect(clippy::doc_markdown, reason = "these comments are the help, printed as they are")]

pub(crate) mod alerts;
pub(crate) mod deliveries;
pub(crate) mod listen;
pub(crate) mod recordings;
pub(crate) mod registry;
pub(crate) mod tool_calls;
pub(crate) mod tools;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{LogFormat, StoreText};
use crate::exit;

/// Receives the webhooks of voice agents and chat widgets: proves who sent them, stores
/// them before it answers, and loses none.
#[derive(Debug, Parser)]
#[command(name = "hookgate", version, after_help = exit::HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway.
    Serve(Serve),
    /// Write .env with random secrets. Keeps what is there.
    Init,
    /// Sign a sample event as the provider does, and post it.
    Send(Send),
    /// Print the headers that prove a body.
    Sign(Sign),
    /// Judge a captured request offline, and say what is wrong with it.
    Verify(Verify),
    /// List, show, follow, export and replay stored events.
    #[command(subcommand)]
    Events(Events),
    /// Pass live events on to a server on your own machine.
    Listen(listen::Listen),
    /// List and show refused requests, and judge them again.
    #[command(subcommand)]
    Rejections(Rejections),
    /// Add, change and erase tenants, whose data must never meet.
    #[command(subcommand)]
    Tenant(registry::Tenant),
    /// Say which ids of the providers are whose.
    #[command(subcommand)]
    Binding(registry::Binding),
    /// Add and remove sources and their URL tokens.
    #[command(subcommand)]
    Source(registry::Source),
    /// Seal credentials of tenants.
    #[command(subcommand)]
    Credential(registry::Credential),
    /// Make keys with which tenants read their own data.
    #[command(subcommand)]
    Key(registry::Key),
    /// Show, register and erase calls, chats, threads and tickets.
    #[command(subcommand)]
    Conversations(registry::Conversations),
    /// List proven requests that contradict ownership.
    #[command(subcommand)]
    Violations(registry::Violations),
    /// Say what tenants' agents may do, and what platforms are told of it.
    #[command(subcommand)]
    Tools(tools::ToolsCommand),
    /// List and show what agents asked for, and what came of it.
    #[command(subcommand)]
    ToolCalls(tool_calls::ToolCalls),
    /// List and save the recordings that are kept.
    #[command(subcommand)]
    Recordings(recordings::Recordings),
    /// Say where events are passed on to.
    #[command(subcommand)]
    Destination(deliveries::Destination),
    /// List and show what was passed on, and try again what was not.
    #[command(subcommand)]
    Deliveries(deliveries::Deliveries),
    /// List what the gateway raised alerts about.
    #[command(subcommand)]
    Alerts(alerts::Alerts),
    /// Check, rebuild and back up the store.
    #[command(subcommand)]
    Store(Store),
    /// Make secrets, and seal under another master key.
    #[command(subcommand)]
    Secret(Secret),
    /// Look for what a human should see: contradictions, weak proof, silence.
    Audit(registry::Audit),
    /// Check the set-up, and say what to paste into each dashboard.
    Doctor(Doctor),
    /// Run stand-ins of others' services, to try clients without an account.
    #[command(subcommand)]
    Dev(Dev),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address and port [HOOKGATE_LISTEN; with PORT 0.0.0.0:$PORT; default 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Folder of the store, or postgres://… [HOOKGATE_STORE; default hookgate.data].
    #[arg(long, value_name = "FOLDER|URL")]
    pub(crate) store: Option<StoreText>,
    /// Configuration file [default hookgate.toml, if it is there].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// For your own machine: loopback alone, and missing secrets are made as by init.
    #[arg(long)]
    pub(crate) dev: bool,
    /// Print each request line by line, credentials masked.
    #[arg(long)]
    pub(crate) inspect: bool,
    /// How log lines are written: human or json [default human].
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) log_format: Option<LogFormat>,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// elevenlabs, retell, vapi, mightycall or tawk.
    pub(crate) provider: String,
    /// Which sample: an event's type, or tool:NAME.
    #[arg(long, value_name = "TYPE|tool:NAME")]
    pub(crate) event: Option<String>,
    /// Where to: a base URL, or the full one [HOOKGATE_URL; default this machine].
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Sign with this secret [default: the variable that serve reads].
    #[arg(long, value_name = "SECRET", conflicts_with = "secret_file")]
    pub(crate) secret: Option<String>,
    /// Sign with the secret in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Send exactly these bytes instead of a sample. `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "event")]
    pub(crate) body: Option<PathBuf>,
    /// Sign under this scheme.
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,
    /// Change a byte after signing, to see the request refused (exit code 1).
    #[arg(long)]
    pub(crate) tamper: bool,
    /// Send so many events and print a summary.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Send so many at once.
    #[arg(long, value_name = "C", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) concurrency: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// elevenlabs, retell, vapi, mightycall or tawk.
    pub(crate) provider: String,
    /// The exact bytes to sign. `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) body: PathBuf,
    /// Sign with this secret [default: the variable that serve reads].
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Option<String>,
    /// Sign at this moment, in milliseconds since 1970 [default now].
    #[arg(long, value_name = "MS")]
    pub(crate) at: Option<i64>,
    /// Sign under this scheme.
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 accepted, 1 rejected, 2 a flag is wrong")]
pub(crate) struct Verify {
    /// elevenlabs, retell, vapi, mightycall or tawk.
    #[arg(required_unless_present = "bundle")]
    pub(crate) provider: Option<String>,
    /// Judge each event of an export again, at the time it was received. `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["provider", "scheme", "scheme_config", "old_secret", "header", "body", "at", "method"])]
    pub(crate) bundle: Option<PathBuf>,
    /// Judge under this scheme [default: all that serve accepts].
    #[arg(long, value_name = "NAME")]
    pub(crate) scheme: Option<String>,
    /// The scheme's settings.
    #[arg(long, value_name = "JSON")]
    pub(crate) scheme_config: Option<String>,
    /// A secret in force; repeat it for several [default: the variable that serve reads].
    #[arg(long, value_name = "SECRET", allow_hyphen_values = true)]
    pub(crate) secret: Vec<OsString>,
    /// A secret that was in force once: says whether it would have matched.
    #[arg(long, value_name = "SECRET", allow_hyphen_values = true)]
    pub(crate) old_secret: Vec<OsString>,
    /// A header, 'Name: value'; repeat it for several.
    #[arg(long, value_name = "HEADER")]
    pub(crate) header: Vec<OsString>,
    /// The exact bytes of the body. `-` is standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "bundle")]
    pub(crate) body: Option<PathBuf>,
    /// Judge at this moment, in milliseconds since 1970 [default now].
    #[arg(long, value_name = "MS", allow_hyphen_values = true)]
    pub(crate) at: Option<i64>,
    /// The request's method [default POST].
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// The request's public URL; of a bundle, its scheme and host: HOOKGATE_PUBLIC_URL without it.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Print the verdict as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where stored requests are read.
#[derive(Clone, Debug, Args)]
pub(crate) struct From {
    /// Read this store folder instead of asking the gateway at HOOKGATE_URL.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// List events, newest first.
    List {
        #[command(flatten)]
        filter: EventFilter,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        from: From,
    },
    /// Show one event with its headers and body.
    Show {
        /// The event's id.
        id: String,
        #[command(flatten)]
        from: From,
    },
    /// Print new events as they come.
    Tail {
        #[command(flatten)]
        filter: EventFilter,
        /// Begin with the oldest event that is stored, or with --since.
        #[arg(long)]
        from_start: bool,
        #[command(flatten)]
        from: From,
    },
    /// Accept an event that is in quarantine for whose it is. Its verdicts stay.
    Release {
        /// The event's id.
        id: String,
        /// Give it to this tenant [default: to the operator alone].
        #[arg(long)]
        tenant: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Judge again whose events are that nobody owns, with today's bindings.
    Reattribute {
        /// This one; repeat it for several [default: all there are].
        #[arg(long = "id", value_name = "ID")]
        ids: Vec<String>,
        /// Those of this source.
        #[arg(long, conflicts_with = "ids")]
        source: Option<String>,
        /// Those of this provider.
        #[arg(long, conflicts_with = "ids")]
        provider: Option<String>,
        /// Those received then or later: 2026-11-22, or as long ago as 2h, 7d.
        #[arg(long, value_name = "TIME", conflicts_with = "ids")]
        since: Option<String>,
        /// Those received before then.
        #[arg(long, value_name = "TIME", conflicts_with = "ids")]
        until: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of canonical events.
    Schema,
    /// Deliver events once more, to the destinations that want them. No tool is run.
    Replay(Box<deliveries::Replay>),
    /// Print events as NDJSON with exact bodies, enough to verify them again.
    Export {
        #[command(flatten)]
        filter: EventFilter,
        /// At most so many [default all].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
        #[command(flatten)]
        from: From,
    },
}

/// Which events. Everything given must hold.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct EventFilter {
    /// Of this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Of this source.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Of this tenant.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Of this type, the provider's word (call_ended).
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// Of this kind, the canonical word (call.ended).
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Of this call, chat, thread or ticket.
    #[arg(long, value_name = "ID")]
    pub(crate) conversation: Option<String>,
    /// In this status: accepted or quarantined.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Received then or later: 2026-11-22T10:00:00Z, 2026-11-22, or as long ago as 15m, 2h, 7d.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Received before then.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// With this text in the type or in an id.
    #[arg(long, value_name = "TEXT")]
    pub(crate) q: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rejections {
    /// List refused requests, newest first.
    List {
        /// Of this source.
        #[arg(long)]
        source: Option<String>,
        /// Refused then or later: 2026-11-22T10:00:00Z, 2026-11-22, or as long ago as 2h.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        from: From,
    },
    /// Show one refused request, why it was refused, and which mistake would explain it.
    Show {
        /// The refused request's id.
        id: String,
        #[command(flatten)]
        from: From,
    },
    /// Judge refused requests again, at the time they were received.
    Retry {
        /// These.
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// All of them.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Those of this source.
        #[arg(long, conflicts_with = "ids")]
        source: Option<String>,
        /// Those refused then or later.
        #[arg(long, value_name = "TIME", conflicts_with = "ids")]
        since: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Read every record and check it.
    Check {
        #[command(flatten)]
        at: Anywhere,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make the index anew from the journal. The gateway must not run.
    Rebuild {
        #[command(flatten)]
        folder: Folder,
    },
    /// Copy the store, also while the gateway runs.
    Backup {
        /// The folder to make.
        target: PathBuf,
        #[command(flatten)]
        folder: Folder,
    },
    /// Move to another kind of store, or another place: copy everything. No gateway may run.
    Copy {
        /// Folder of the store, or postgres://…
        #[arg(long, value_name = "FOLDER|URL")]
        from: StoreText,
        /// A folder that does not exist yet, or postgres://… of an empty database; or what an earlier
        /// run has left.
        #[arg(long, value_name = "FOLDER|URL")]
        to: StoreText,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The store's folder.
#[derive(Clone, Debug, Args)]
pub(crate) struct Folder {
    /// Folder of the store [HOOKGATE_STORE; default hookgate.data].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) store: Option<StoreText>,
}

/// The store, wherever it is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Anywhere {
    /// Folder of the store, or postgres://… [HOOKGATE_STORE; default hookgate.data].
    #[arg(long, value_name = "FOLDER|URL")]
    pub(crate) store: Option<StoreText>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Print a fresh secret.
    New {
        /// In the form of this provider's.
        provider: Option<String>,
    },
    /// Seal every tenant's data key under the first of HOOKGATE_MASTER_KEY. The gateway may run.
    Rewrap {
        #[command(flatten)]
        at: Anywhere,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Configuration file [default hookgate.toml, if it is there].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the store, or postgres://… [HOOKGATE_STORE; default hookgate.data].
    #[arg(long, value_name = "FOLDER|URL")]
    pub(crate) store: Option<StoreText>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dev {
    /// Run a stand-in for Square's bookings API. It forgets everything when it ends.
    Square {
        /// Address and port.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9700")]
        listen: String,
    },
}
