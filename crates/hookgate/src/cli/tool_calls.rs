//! The commands that read tool calls.

use clap::{Args, Subcommand};

use super::registry::Print;

#[derive(Debug, Subcommand)]
pub(crate) enum ToolCalls {
    /// List tool calls, newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        print: Print,
    },
    /// Show one tool call: what was asked, what was answered, and where the time went.
    Show {
        /// The tool call's id.
        id: String,
        #[command(flatten)]
        print: Print,
    },
}

/// Which tool calls. Everything given must hold.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Of this tenant.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Of this tool.
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: Option<String>,
    /// In this state: started, succeeded, refused, failed or unknown.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Of this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Of this source.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Of this call, chat or thread.
    #[arg(long, value_name = "ID")]
    pub(crate) conversation: Option<String>,
    /// Begun then or later: 2026-11-22T10:00:00Z, 2026-11-22, or as long ago as 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Begun before then.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}
