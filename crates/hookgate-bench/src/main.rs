//! Measures Hookgate beside a bare axum handler, in one interleaved run on one machine.
//!
//! Absolute figures drift with the machine, so each round measures the bare handler and
//! Hookgate one after the other, and the ratio of the two is what counts. The load
//! generator runs on the same cores as the servers.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod bare;
mod body;
mod deliveries;
mod disturb;
mod load;
mod operator;
mod parts;
mod postgres;
mod server;
mod tools;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use load::Measured;
use server::{Kind, Server};

/// Measures Hookgate beside a bare handler that reads the body and answers.
#[derive(Parser)]
struct Arguments {
    /// What to do: `compare` (both servers, interleaved), `parts` (the steps of a request
    /// in one process), `disturbed` (Hookgate beside slow senders and a large body), `tools`
    /// (what the gateway adds to a tool call; the first number of connections counts),
    /// `deliveries` (how fast those drain that wait for an endpoint), `postgres` (the store
    /// alone, in the database of `--database`, beside inserts of one row each), `load` (a
    /// server that runs already), or `bare` (serve the bare handler on a free port).
    #[arg(default_value = "compare")]
    what: String,
    /// Connections, each a closed loop of one request after the other.
    #[arg(long, value_delimiter = ',', default_value = "64,256")]
    connections: Vec<usize>,
    /// Rounds; each measures every server once per number of connections.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that one measurement takes, after one second of warming up.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// The server for `load`. It knows the key of this benchmark.
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: String,
    /// The `hookgate` program; by default the one beside this program.
    #[arg(long)]
    program: Option<std::path::PathBuf>,
    /// Deliveries that wait before `deliveries` lets them go.
    #[arg(long, default_value_t = 100_000)]
    pending: u64,
    /// The URL of the empty database for `postgres`.
    #[arg(long)]
    database: Option<String>,
    /// The folder in which Hookgate's store is made; by default the working folder, so
    /// that it lies on a disk.
    #[arg(long, default_value = ".")]
    folder: std::path::PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match arguments.what.as_str() {
        "bare" => runtime.block_on(bare::serve()),
        "parts" => {
            parts::measure();
            Ok(())
        }
        "disturbed" => runtime.block_on(disturbed(&arguments)),
        "tools" => runtime.block_on(tool_calls(&arguments)),
        "deliveries" => runtime.block_on(drain(&arguments)),
        "postgres" => store_alone(&runtime, &arguments),
        "load" => runtime.block_on(load_only(&arguments)),
        "compare" => runtime.block_on(compare(&arguments)),
        other => {
            anyhow::bail!(
                "there is no `{other}`: say compare, parts, disturbed, tools, deliveries, postgres, load or bare"
            )
        }
    }
}

/// What a good sender notices of bad ones: the same load alone, beside connections that
/// never finish their head, and beside a large body in chunks.
async fn disturbed(arguments: &Arguments) -> Result<()> {
    const CONNECTIONS: usize = 16;
    let folder =
        tempfile::tempdir_in(&arguments.folder).context("making a folder for the store")?;
    let hookgate = start_hookgate(arguments, folder.path()).await?;
    let seconds = Duration::from_secs(arguments.seconds);
    println!(
        "connections  beside                       req/s  p50 ms  p99 ms  server CPU us/request"
    );
    for _ in 0..arguments.rounds {
        let alone = hookgate.load(CONNECTIONS, seconds).await?;
        row(CONNECTIONS, "nothing                   ", &alone);
        let slow = disturb::slow_heads(&hookgate.address).await?;
        let beside = hookgate.load(CONNECTIONS, seconds).await?;
        row(CONNECTIONS, "500 heads without an end  ", &beside);
        drop(slow);
        let upload = tokio::spawn(disturb::upload(hookgate.address.clone()));
        let beside = hookgate.load(CONNECTIONS, seconds).await?;
        row(CONNECTIONS, "90 MiB in chunks          ", &beside);
        upload.await??;
    }
    println!("peak memory of hookgate: {} MiB", hookgate.peak_memory_mib()?);
    hookgate.stop().await
}

/// What the gateway adds to a tool call, each round with a store of its own.
async fn tool_calls(arguments: &Arguments) -> Result<()> {
    let connections = arguments.connections.first().copied().unwrap_or(50);
    let seconds = Duration::from_secs(arguments.seconds);
    for _ in 0..arguments.rounds {
        let folder =
            tempfile::tempdir_in(&arguments.folder).context("making a folder for the store")?;
        tools::measure(&program(arguments)?, folder.path(), connections, seconds).await?;
    }
    Ok(())
}

/// The store without HTTP, beside single rows.
fn store_alone(runtime: &tokio::runtime::Runtime, arguments: &Arguments) -> Result<()> {
    let url = arguments.database.as_deref().context("say in which --database")?;
    let folder =
        tempfile::tempdir_in(&arguments.folder).context("making a folder for the stores")?;
    for &senders in &arguments.connections {
        let path = folder.path().join(senders.to_string());
        postgres::measure(runtime, url, &path, (senders, arguments.rounds))?;
    }
    Ok(())
}

/// How fast deliveries drain.
async fn drain(arguments: &Arguments) -> Result<()> {
    let folder =
        tempfile::tempdir_in(&arguments.folder).context("making a folder for the store")?;
    let seconds = Duration::from_secs(arguments.seconds);
    deliveries::measure(&program(arguments)?, folder.path(), arguments.pending, seconds).await
}

fn program(arguments: &Arguments) -> Result<std::path::PathBuf> {
    Ok(match &arguments.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("hookgate"),
    })
}

async fn start_hookgate(arguments: &Arguments, folder: &std::path::Path) -> Result<Server> {
    let program = program(arguments)?;
    Server::start(Kind::Hookgate { program, store: folder.join("store") }).await
}

/// Loads a server that runs already.
async fn load_only(arguments: &Arguments) -> Result<()> {
    for &connections in &arguments.connections {
        let seconds = Duration::from_secs(arguments.seconds);
        let measured =
            load::run(&arguments.address, || Ok(Duration::ZERO), connections, seconds).await?;
        println!(
            "{connections} connections: {:.0} answers a second, p50 {:.2} ms, p99 {:.2} ms",
            measured.per_second(),
            measured.percentile_millis(50),
            measured.percentile_millis(99),
        );
    }
    Ok(())
}

async fn compare(arguments: &Arguments) -> Result<()> {
    let folder =
        tempfile::tempdir_in(&arguments.folder).context("making a folder for the store")?;
    let bare = Server::start(Kind::Bare).await?;
    let hookgate = start_hookgate(arguments, folder.path()).await?;
    let seconds = Duration::from_secs(arguments.seconds);

    println!("connections  server     req/s  p50 ms  p99 ms  server CPU us/request");
    for &connections in &arguments.connections {
        let mut pairs = Vec::new();
        for _ in 0..arguments.rounds {
            let plain = bare.load(connections, seconds).await?;
            row(connections, "bare", &plain);
            let ours = hookgate.load(connections, seconds).await?;
            row(connections, "hookgate", &ours);
            hookgate.wait_until_indexed().await?;
            pairs.push((plain, ours));
        }
        let ratio =
            median(pairs.iter().map(|(plain, ours)| ours.per_second() / plain.per_second()));
        let cpu = median(pairs.iter().map(|(plain, ours)| ours.cpu_micros() / plain.cpu_micros()));
        println!(
            "{connections:>11}  hookgate/bare: {ratio:.2} of the throughput at {cpu:.2} times the CPU"
        );
    }
    println!(
        "every answer of hookgate came after the fdatasync of its event; the index had caught up after each round"
    );
    hookgate.stop().await?;
    bare.stop().await
}

fn row(connections: usize, name: &str, measured: &Measured) {
    println!(
        "{connections:>11}  {name:<8} {:>7.0} {:>7.2} {:>7.2} {:>8.1}",
        measured.per_second(),
        measured.percentile_millis(50),
        measured.percentile_millis(99),
        measured.cpu_micros(),
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
