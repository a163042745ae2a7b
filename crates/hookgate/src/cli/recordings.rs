//! The commands that list and save recordings.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::registry::Print;

#[derive(Debug, Subcommand)]
pub(crate) enum Recordings {
    /// List recordings, newest first: which are here, which are not, and why.
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        print: Print,
    },
    /// Save one recording to a file.
    Get {
        /// The recording's id.
        id: String,
        /// The file, which must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Which recordings. Everything given must hold.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Of this tenant.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Of this event.
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
    /// Of this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Of this call.
    #[arg(long, value_name = "ID")]
    pub(crate) conversation: Option<String>,
    /// In this state: pending, fetched or failed.
    #[arg(long)]
    pub(crate) state: Option<String>,
}
