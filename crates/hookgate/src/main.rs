//! The command line of Hookgate. [`run`] is the table of contents.

mod background;
mod banner;
mod cli;
mod client;
mod command;
mod config;
mod dotenv;
mod environment;
mod exit;
mod follow;
mod fresh;
mod input;
mod live;
mod logging;
mod master;
mod output;
mod placeholder;
mod random;
mod record;
mod sse;
mod stored;
mod surroundings;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::environment::Environment;
use crate::exit::{FAILED, Outcome, USAGE, Usage};

/// A request makes some dozens of short-lived pieces of memory, mostly on one thread and
/// freed there: this allocator takes about half the time of the C library's for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before any connection: nothing else in this process chooses a provider. Only a
    // second call fails, and there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(cli) {
        Ok(outcome) => outcome.code(),
        // The reader of our output has seen enough: `hookgate events list | head`.
        Err(error) if is_broken_pipe(&error) => Outcome::Done.code(),
        Err(error) => {
            output::remark(format_args!("error: {error:#}"));
            let is_usage = error.downcast_ref::<Usage>().is_some();
            ExitCode::from(if is_usage { USAGE } else { FAILED })
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let environment = Environment::read()?;
    match cli.command {
        Command::Serve(flags) => command::serve::run(&flags, environment),
        Command::Init => command::init::run(&environment),
        Command::Send(flags) => command::send::run(&flags, &environment),
        Command::Sign(flags) => command::sign::run(&flags, &environment),
        Command::Verify(flags) => command::verify::run(&flags, &environment),
        Command::Secret(cli::Secret::New { provider }) => command::secret::new(provider.as_deref()),
        Command::Secret(cli::Secret::Rewrap { at, json }) => {
            command::secret::rewrap(&at, json, &environment)
        }
        Command::Events(command) => command::events::run(command, &environment),
        Command::Listen(flags) => command::listen::run(&flags, &environment),
        Command::Rejections(command) => command::rejections::run(command, &environment),
        Command::Tenant(command) => command::tenant::run(command, &environment),
        Command::Binding(command) => command::binding::run(command, &environment),
        Command::Source(command) => command::source::run(command, &environment),
        Command::Credential(command) => command::credential::run(command, &environment),
        Command::Key(command) => command::key::run(command, &environment),
        Command::Conversations(command) => command::conversations::run(command, &environment),
        Command::Violations(command) => command::violations::run(command, &environment),
        Command::Tools(command) => command::tools::run(command, &environment),
        Command::Recordings(command) => command::recordings::run(command, &environment),
        Command::ToolCalls(command) => command::tool_calls::run(command, &environment),
        Command::Destination(command) => command::destination::run(command, &environment),
        Command::Alerts(command) => command::alerts::run(&command, &environment),
        Command::Deliveries(command) => command::deliveries::run(command, &environment),
        Command::Audit(flags) => command::audit::run(&flags, &environment),
        Command::Store(command) => command::store::run(&command, &environment),
        Command::Doctor(flags) => command::doctor::run(&flags, &environment),
        Command::Dev(command) => command::dev::run(command),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let of_output = error.downcast_ref::<std::io::Error>();
    of_output.is_some_and(|it| it.kind() == ErrorKind::BrokenPipe)
}
