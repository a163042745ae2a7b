//! The load generator: connections that each send one request after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::body;

/// How long each measurement warms up.
const WARM_UP: Duration = Duration::from_secs(1);

/// What one measurement found.
pub(crate) struct Measured {
    latencies: Vec<Duration>,
    took: Duration,
    cpu: Duration,
    answered: usize,
}

impl Measured {
    /// Answers a second.
    pub(crate) fn per_second(&self) -> f64 {
        count(self.latencies.len()) / self.took.as_secs_f64()
    }

    /// The latency that so many per cent of the requests stayed below, in milliseconds.
    pub(crate) fn percentile_millis(&self, per_cent: usize) -> f64 {
        let index = self.latencies.len() * per_cent / 100;
        self.latencies.get(index).map_or(f64::NAN, |it| it.as_secs_f64() * 1e3)
    }

    /// The server's processor time for one request, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count(self.answered.max(1))
    }
}

/// A count, for a division.
fn count(of: usize) -> f64 {
    u32::try_from(of).map_or(f64::NAN, f64::from)
}

/// Loads the server at `address` for `seconds` after warming up. `cpu` says how much
/// processor time the server has used so far.
pub(crate) async fn run(
    address: &str,
    cpu: impl Fn() -> Result<Duration>,
    connections: usize,
    seconds: Duration,
) -> Result<Measured> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + seconds;
    let senders: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(send(address.to_owned(), (begin, end), None)))
        .collect();
    tokio::time::sleep_until(begin.into()).await;
    let cpu_before = cpu()?;
    tokio::time::sleep_until(end.into()).await;
    let cpu = cpu()?.saturating_sub(cpu_before);
    let mut latencies = Vec::new();
    for sender in senders {
        latencies.extend(sender.await??);
    }
    latencies.sort_unstable();
    Ok(Measured { answered: latencies.len(), latencies, took: seconds, cpu })
}

/// Loads the server at `address` with senders that each send one request every `pace`, for
/// `seconds` after warming up.
pub(crate) async fn paced(
    address: &str,
    senders: usize,
    pace: Duration,
    seconds: Duration,
) -> Result<Measured> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + seconds;
    let step = pace / u32::try_from(senders).unwrap_or(u32::MAX).max(1);
    let senders: Vec<_> = (0_u32..)
        .zip(0..senders)
        .map(|(number, _)| {
            let (address, first) = (address.to_owned(), step * number);
            tokio::spawn(async move {
                tokio::time::sleep(first).await;
                send(address, (begin, end), Some(pace)).await
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for sender in senders {
        latencies.extend(sender.await??);
    }
    latencies.sort_unstable();
    Ok(Measured { answered: latencies.len(), latencies, took: seconds, cpu: Duration::ZERO })
}

/// Sends until `end` and returns the latencies of the requests that were answered between
/// `begin` and `end`. With a pace a request that is due counts from then, whether or not the
/// one before it is answered.
async fn send(
    address: String,
    (begin, end): (Instant, Instant),
    pace: Option<Duration>,
) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(&address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let mut latencies = Vec::with_capacity(16_384);
    let mut answer = vec![0; 4096];
    let mut due = Instant::now();
    loop {
        let request = body::request(&body::fresh());
        let sent = if let Some(pace) = pace {
            due += pace;
            tokio::time::sleep_until(due.into()).await;
            due
        } else {
            Instant::now()
        };
        if sent >= end {
            return Ok(latencies);
        }
        stream.write_all(&request).await.context("sending")?;
        read_answer(&mut stream, &mut answer).await?;
        let answered = Instant::now();
        if answered >= begin && answered < end {
            latencies.push(answered - sent);
        }
    }
}

/// Reads one answer, which must be a 200 with a `Content-Length`.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).context("an answer of more than 4 KiB")?;
        let read = stream.read(room).await.context("reading the answer")?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        filled += read;
        let text = std::str::from_utf8(buffer.get(..filled).unwrap_or_default())?;
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        if !head.starts_with("HTTP/1.1 200") {
            bail!("not a success: {}", head.lines().next().unwrap_or_default());
        }
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.parse::<usize>().ok())
            .context("an answer without a length")?;
        if rest.len() >= length {
            return Ok(());
        }
    }
}
