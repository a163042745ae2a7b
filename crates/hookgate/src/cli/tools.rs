//! The commands of tools.

#![expect(clippy::doc_markdown, reason = "these comments are the help, printed as they are")]

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ToolsCommand {
    /// Print definitions of tools to paste into a platform, as JSON.
    Schema(Schema),
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// retell, vapi or elevenlabs.
    pub(crate) platform: String,
    /// The gateway's public base URL, or a source's own [HOOKGATE_PUBLIC_URL; [server] public_url].
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// This tool; repeat it for several [default all].
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: Vec<String>,
}
