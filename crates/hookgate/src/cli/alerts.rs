//! The commands that read alerts.

use clap::Subcommand;

use super::registry::Print;

#[derive(Debug, Subcommand)]
pub(crate) enum Alerts {
    /// List alerts, those that are raised first.
    List {
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        print: Print,
    },
}
