//! How fast deliveries go out once an endpoint is back, and what senders notice of it.
//!
//! An endpoint is down until so many deliveries wait; then it is up, and the operator says so
//! (`hookgate destination enable` closes its breaker, which would else probe within a minute).
//! From its first success to the last delivery is the drain. A few senders at a fixed pace are
//! measured before there is any delivery, beside those that wait, and while they drain.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::load::{self, Measured};
use crate::operator::ask;
use crate::server::{Kind, Server};

/// Senders that are measured beside the drain, each this often: eight hundred events a
/// second, far below what the gateway takes, so that waiting for one's turn is no part of it.
const SENDERS: usize = 16;
const PACE: Duration = Duration::from_millis(20);

/// Connections that fill the store.
const FILLING: usize = 64;

/// How long one filling lasts before it is looked how many wait.
const FILLING_STEP: Duration = Duration::from_secs(2);

/// Requests to one endpoint at once.
const CONCURRENCY: u32 = 64;

/// How long an endpoint that is back waits for the first delivery at the most.
const FIRST_MAX: Duration = Duration::from_mins(1);

/// How long all may take.
const DRAIN_MAX: Duration = Duration::from_mins(10);

/// An endpoint that is down at first.
#[derive(Default)]
struct Endpoint {
    is_up: AtomicBool,
    received: AtomicU64,
    first: Notify,
}

/// Measures the drain of so many deliveries, and prints what it found.
pub(crate) async fn measure(
    program: &Path,
    folder: &Path,
    pending: u64,
    seconds: Duration,
) -> Result<()> {
    let endpoint = Arc::new(Endpoint::default());
    let url = serve(Arc::clone(&endpoint)).await?;
    let kind = Kind::Hookgate { program: program.to_owned(), store: folder.join("store") };
    let gateway = Server::start_with(kind, &[("HOOKGATE_EGRESS_ALLOW", "127.0.0.0/8")]).await?;
    let alone = load::paced(&gateway.address, SENDERS, PACE, seconds).await?;
    row("no deliveries         ", &alone);

    let wish = json!({ "kind": "http", "url": url, "concurrency": CONCURRENCY }).to_string();
    let made = ask(&gateway.address, "POST", "/api/v1/destinations", &wish).await?;
    let id = made.get("id").and_then(Value::as_str).context("the id of a destination")?.to_owned();
    while waiting(&gateway.address).await? < pending {
        gateway.load(FILLING, FILLING_STEP).await?;
    }
    gateway.wait_until_indexed().await?;
    let beside = load::paced(&gateway.address, SENDERS, PACE, seconds).await?;
    row("beside those that wait", &beside);
    let waiting = settled(&gateway.address).await?;

    endpoint.is_up.store(true, Ordering::Release);
    let enable = format!("/api/v1/destinations/{id}/enable");
    ask(&gateway.address, "POST", &enable, "").await?;
    let first = tokio::time::timeout(FIRST_MAX, endpoint.first.notified()).await;
    first.context("the endpoint is back, and nothing comes")?;
    let (begun, cpu_before) = (Instant::now(), gateway.cpu()?);
    let (address, senders) = (gateway.address.clone(), seconds);
    let beside = tokio::spawn(async move { load::paced(&address, SENDERS, PACE, senders).await });
    while endpoint.received.load(Ordering::Acquire) < waiting {
        ensure!(begun.elapsed() < DRAIN_MAX, "the deliveries do not drain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = begun.elapsed();
    let cpu = gateway.cpu()?.saturating_sub(cpu_before);
    let received = endpoint.received.load(Ordering::Acquire);
    row("beside the drain      ", &beside.await??);
    let received = u32::try_from(received).map_or(f64::NAN, f64::from);
    println!(
        "{waiting} deliveries waited; {received} arrived in {:.1} s: {:.0} a second, {:.0} us of \
         the gateway's processor time each, with the intake beside them",
        took.as_secs_f64(),
        received / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / received
    );
    gateway.stop().await
}

/// Serves the endpoint on a free port of the loopback.
async fn serve(endpoint: Arc<Endpoint>) -> Result<String> {
    let app = axum::Router::new().route("/", post(receive)).with_state(endpoint);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

async fn receive(State(endpoint): State<Arc<Endpoint>>, _body: Bytes) -> StatusCode {
    if !endpoint.is_up.load(Ordering::Acquire) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if endpoint.received.fetch_add(1, Ordering::AcqRel) == 0 {
        endpoint.first.notify_one();
    }
    StatusCode::OK
}

/// How many deliveries wait, as the gateway counted them last.
async fn waiting(address: &str) -> Result<u64> {
    let text = ask(address, "GET", "/metrics", "").await?;
    let Value::String(text) = text else { bail!("metrics are text") };
    let count = text.lines().find_map(|it| it.strip_prefix("hookgate_deliveries_pending "));
    Ok(count.context("the count of what waits")?.trim().parse()?)
}

/// The same, once it changes no more.
async fn settled(address: &str) -> Result<u64> {
    let mut before = waiting(address).await?;
    loop {
        // The gateway counts every five seconds.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let now = waiting(address).await?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}

fn row(beside: &str, measured: &Measured) {
    println!(
        "{SENDERS} senders, {:.0} events a second, {beside}  p50 {:.2} ms  p99 {:.2} ms",
        measured.per_second(),
        measured.percentile_millis(50),
        measured.percentile_millis(99),
    );
}
