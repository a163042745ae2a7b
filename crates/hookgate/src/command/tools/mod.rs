//! `hookgate tools`: what agents may call, and for whom.

mod schema;
mod settings;

use crate::cli::tools::ToolsCommand;
use crate::environment::Environment;
use crate::exit::Outcome;

/// Runs the command.
pub(crate) fn run(command: ToolsCommand, environment: &Environment) -> anyhow::Result<Outcome> {
    match command {
        ToolsCommand::Schema(flags) => schema::run(&flags, environment),
        ToolsCommand::Show { tenant, print } => settings::show(&tenant, print.json, environment),
        ToolsCommand::Set { tenant, file, clear: _, print } => {
            settings::set(&tenant, file.as_deref(), print.json, environment)
        }
    }
}
