//! `hookgate dev`: stand-ins of others' services.

use anyhow::Context as _;
use hookgate_square::Square;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Outcome;
use crate::{cli, output};

/// Runs a stand-in until it is told to stop.
pub(crate) fn run(command: cli::Dev) -> anyhow::Result<Outcome> {
    let cli::Dev::Square { listen } = command;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(square(&listen))?;
    Ok(Outcome::Done)
}

async fn square(listen: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen} (--listen): choose another address or port")
    })?;
    let address = listener.local_addr().context("cannot tell where we listen")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    output::line(format_args!(
        "A stand-in for Square's bookings API listens on http://{address}

It is for trying clients of that API: its data are made up, it takes any token, and it forgets
everything when it ends (Ctrl-C). It does not call Square. The base address for a client:

  HOOKGATE_SQUARE_URL=http://{address}

What it holds, and how to make it fail:

  curl http://{address}/stand-in/state
  curl http://{address}/stand-in/faults -d '{{\"next\": [429, \"commit-then-500\"], \"latency_ms\": 200}}'
"
    ))?;
    // Nothing it holds outlives it, so it need not wait for anybody.
    tokio::select! {
        served = hookgate_square::serve(listener, Square::new(jiff::Timestamp::now)) => {
            served.context("the stand-in ended")
        }
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
