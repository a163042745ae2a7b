//! The commands of tools: what tenants' agents may do, and what platforms are told of it.

#![expect(clippy::doc_markdown, reason = "these comments are the help, printed as they are")]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::registry::Print;

#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// Print definitions of tools to paste into a platform, as JSON.
    Schema(Schema),
    /// Show what a tenant's agents may do, as JSON that `tools set` takes.
    Show {
        /// The tenant.
        tenant: String,
        #[command(flatten)]
        print: Print,
    },
    /// Say what a tenant's agents may do. It replaces what was said before.
    Set {
        /// The tenant.
        tenant: String,
        /// A file of JSON. `-` is standard input.
        #[arg(long, value_name = "FILE", required_unless_present = "clear")]
        file: Option<PathBuf>,
        /// Remove what was said: what holds for everybody holds.
        #[arg(long, conflicts_with = "file")]
        clear: bool,
        #[command(flatten)]
        print: Print,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// retell, vapi or elevenlabs.
    pub(crate) platform: String,
    /// The gateway's public base URL, or a source's own. Without it: HOOKGATE_PUBLIC_URL.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// This tool; repeat it for several [default all].
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: Vec<String>,
}
