//! `hookgate tools`: what agents may call.

mod schema;

use crate::cli::tools::ToolsCommand;
use crate::environment::Environment;
use crate::exit::Outcome;

/// Runs the command.
pub(crate) fn run(command: ToolsCommand, environment: &Environment) -> anyhow::Result<Outcome> {
    match command {
        ToolsCommand::Schema(flags) => schema::run(&flags, environment),
    }
}
