//! The flags of `hookgate listen`.

#![expect(clippy::doc_markdown, reason = "these comments are the help, printed as they are")]

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(
    after_help = "Goes on where it was when it is started again. Ctrl-C ends it with a summary."
)]
pub(crate) struct Listen {
    /// Where each event is sent: a server on this machine.
    #[arg(long, value_name = "URL")]
    pub(crate) forward: String,
    /// Of this source; repeat it for several [default: all].
    #[arg(long)]
    pub(crate) source: Vec<String>,
    /// Of this provider; repeat it for several.
    #[arg(long)]
    pub(crate) provider: Vec<String>,
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
    /// Begin there: now, start, behind an event's id or a cursor, or as long ago as 2h
    /// [default: where it was, else now].
    #[arg(long, value_name = "WHERE")]
    pub(crate) since: Option<String>,
    /// The name under which its place is remembered.
    #[arg(long, default_value = "default")]
    pub(crate) name: String,
    /// Remember the place in this file [default: in the user's state folder].
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Add the path and query that the provider called to the URL.
    #[arg(long)]
    pub(crate) keep_path: bool,
    /// How long the server may take to answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// Let the URL lead to another machine.
    #[arg(long)]
    pub(crate) anywhere: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
