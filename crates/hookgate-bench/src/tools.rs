//! What the gateway adds to a tool call: everything but the time that Square takes, as the
//! caller sees it.
//!
//! Each connection books an appointment and cancels it again, over and over, through the real
//! program before the stand-in Square, which takes some time for each request, as Square does.
//! What the caller waited, less what the gateway waited for Square, is what the gateway adds.
//! The gateway's own record of each call says where that goes.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use hookgate_core::digest::hmac_sha256;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::body::SECRET;
use crate::operator::ask;
use crate::server::{Kind, Server};

/// How long the stand-in takes for each request, at least. Square's own time is not published;
/// a request to a distant API takes something like it.
const LATENCY_MS: u64 = 100;

/// How much longer it may take. Were it always the same, callers who once came together would
/// come together ever after, as no callers do.
const SPREAD_MS: u64 = 100;

/// The agent whose tenant books.
const AGENT: &str = "bench-agent";

/// What one call cost its caller.
struct Call {
    conversation: String,
    took: Duration,
}

/// Where the time of a call went, as its record says, in milliseconds.
struct Recorded {
    /// Until its event was on disk.
    store: f64,
    /// For its rows.
    record: f64,
    /// For Square.
    square: f64,
    /// From its first byte to its end.
    total: f64,
}

/// A part of a call, and what it takes of one.
type Part = (&'static str, fn(&Call, &Recorded) -> f64);

/// Where what the gateway adds goes.
const PARTS: [Part; 5] = [
    ("in all", |call, it| millis(call.took) - it.square),
    ("event on disk", |_, it| it.store),
    ("row on disk", |_, it| it.record),
    ("the rest inside", |_, it| it.total - it.store - it.record - it.square),
    ("way in and out", |call, it| millis(call.took) - it.total),
];

/// Measures with so many calls at once, and prints what it found.
pub(crate) async fn measure(
    program: &Path,
    folder: &Path,
    connections: usize,
    seconds: Duration,
) -> Result<()> {
    let (square, square_url) = start_square(program).await?;
    let kind = Kind::Hookgate { program: program.to_owned(), store: folder.join("store") };
    let gateway = Server::start_with(kind, &[("HOOKGATE_SQUARE_URL", &square_url)]).await?;
    set_up(program, &gateway.address).await?;
    let square_address = square_url.trim_start_matches("http://").to_owned();
    let faults = json!({ "latency_ms": LATENCY_MS, "latency_spread_ms": SPREAD_MS }).to_string();
    ask(&square_address, "POST", "/stand-in/faults", &faults).await?;

    let before = gateway.used()?;
    let end = Instant::now() + seconds;
    let callers: Vec<_> = (0..connections)
        .map(|number| tokio::spawn(book_and_cancel(gateway.address.clone(), number, end)))
        .collect();
    let mut calls = Vec::new();
    for caller in callers {
        calls.extend(caller.await??);
    }
    let used = gateway.used()?.since(before);
    let recorded = recorded(&gateway.address).await?;
    println!(
        "{} tool calls (booked, cancelled), {connections} at once, Square takes {LATENCY_MS} to {} ms a request",
        calls.len(),
        LATENCY_MS + SPREAD_MS
    );
    println!("the gateway adds, ms    p50    p90    p99     max");
    for (name, part) in PARTS {
        let mut added: Vec<f64> =
            calls.iter().filter_map(|it| Some(part(it, recorded.get(&it.conversation)?))).collect();
        added.sort_by(f64::total_cmp);
        ensure!(added.len() == calls.len(), "each call is on record");
        let percentile = |per_cent: usize| added.get(added.len() * per_cent / 100).copied();
        println!(
            "  {name:<17} {:>7.2}{:>7.2}{:>7.2}{:>8.2}",
            percentile(50).unwrap_or(f64::NAN),
            percentile(90).unwrap_or(f64::NAN),
            percentile(99).unwrap_or(f64::NAN),
            added.last().unwrap_or(&f64::NAN),
        );
    }
    let count = f64::from(u32::try_from(calls.len().max(1))?);
    println!(
        "the gateway uses {:.2} ms of processor and {:.1} switches of threads for a call",
        millis(used.cpu) / count,
        used.switches / count,
    );
    gateway.stop().await?;
    drop(square);
    Ok(())
}

async fn start_square(program: &Path) -> Result<(Child, String)> {
    // Square has machines of its own. What this one comes too late with counts as its time.
    let mut child = Command::new("nice")
        .args(["-n", "10"])
        .arg(program)
        .args(["dev", "square", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the stand-in")?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = line.trim().strip_prefix("HOOKGATE_SQUARE_URL=") {
            let url = url.to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((child, url));
        }
    }
    anyhow::bail!("the stand-in ended before it listened")
}

/// A tenant, its agent and its credential.
async fn set_up(program: &Path, address: &str) -> Result<()> {
    let credential = json!({
        "access_token": "bench", "location_id": "LSTANDIN00001", "environment": "sandbox",
        "timezone": "America/New_York",
    });
    let binding = ["--tenant", "bench", "--provider", "retell", "--kind", "agent", AGENT];
    let commands: [(Vec<&str>, String); 3] = [
        (vec!["tenant", "add", "bench", "--name", "Bench"], String::new()),
        ([&["binding", "add"], &binding[..]].concat(), String::new()),
        (vec!["credential", "set", "bench", "square"], credential.to_string()),
    ];
    for (arguments, input) in commands {
        let mut child = Command::new(program)
            .args(&arguments)
            .env("HOOKGATE_URL", format!("http://{address}"))
            .env("HOOKGATE_ADMIN_TOKEN", SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut stdin = child.stdin.take().context("its input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        ensure!(child.wait().await?.success(), "{arguments:?} failed");
    }
    Ok(())
}

/// Books a time of its own and cancels it, again and again.
async fn book_and_cancel(address: String, number: usize, end: Instant) -> Result<Vec<Call>> {
    // Callers do not begin in step.
    let step = Duration::from_millis(LATENCY_MS).mul_f64(fraction(number));
    tokio::time::sleep(step).await;
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let mut calls = Vec::new();
    for turn in 0_u64.. {
        if Instant::now() >= end {
            break;
        }
        let (start, member) = slot(number, turn)?;
        let conversation = format!("call_{number}_{turn}_b");
        let wish = json!({
            "agent_id": AGENT, "call_id": conversation, "start_at": start, "service": "Haircut",
            "customer_id": "CUSTOMER-1", "team_member_id": member,
        });
        let (booked, took) = call(&mut stream, "/api/bookings/create", &wish).await?;
        ensure!(booked.get("ok") == Some(&Value::Bool(true)), "not booked: {booked}");
        calls.push(Call { conversation, took });
        let conversation = format!("call_{number}_{turn}_c");
        let wish = json!({
            "agent_id": AGENT, "call_id": conversation, "booking_id": booked.get("booking_id"),
        });
        let (cancelled, took) = call(&mut stream, "/api/bookings/cancel", &wish).await?;
        ensure!(cancelled.get("ok") == Some(&Value::Bool(true)), "not cancelled: {cancelled}");
        calls.push(Call { conversation, took });
    }
    Ok(calls)
}

/// Where between 0 and 1 a caller stands: the golden ratio spreads any number of them evenly.
fn fraction(number: usize) -> f64 {
    (f64::from(u32::try_from(number).unwrap_or(0)) * 0.618_033_988_75).fract()
}

/// Turns after which a connection books its first day again. What was cancelled there is
/// listed with it, so a day must not come back soon: a shop does not book one chair a
/// hundred times over.
const TURNS: u64 = 60;

/// A time and a chair that no other connection has: sixteen half hours a day, two chairs, and
/// another week each turn.
fn slot(number: usize, turn: u64) -> Result<(String, &'static str)> {
    let member = if number.is_multiple_of(2) { "TMSTANDIN0001" } else { "TMSTANDIN0002" };
    let half_hour = i64::try_from(number / 2)?;
    let zone = TimeZone::get("America/New_York")?;
    let week = i64::try_from(turn % TURNS)?;
    let mut day: Zoned = Zoned::now().with_time_zone(zone).checked_add((2 + 7 * week).days())?;
    for _ in 0..=half_hour / 16 {
        day = day.checked_add(1.day())?;
        while day.weekday().to_monday_zero_offset() >= 5 {
            day = day.checked_add(1.day())?;
        }
    }
    let start = day.start_of_day()?.checked_add((9 * 60 + half_hour % 16 * 30).minutes())?;
    Ok((start.timestamp().to_string(), member))
}

/// One call as Retell makes it.
async fn call(stream: &mut TcpStream, path: &str, body: &Value) -> Result<(Value, Duration)> {
    let body = body.to_string();
    let millis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let digest = hex::encode(hmac_sha256(SECRET.as_bytes(), format!("{body}{millis}").as_bytes()));
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nX-Retell-Signature: v={millis},d={digest}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let sent = Instant::now();
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        let read = stream.read_buf(&mut answer).await?;
        ensure!(read > 0, "the gateway closed the connection");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.context("an answer without a length")?.1.parse()?;
        if rest.len() >= length {
            return Ok((serde_json::from_str(rest)?, sent.elapsed()));
        }
    }
}

/// What the gateway has on record, by the conversation of the call.
async fn recorded(address: &str) -> Result<HashMap<String, Recorded>> {
    let mut recorded = HashMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/tool-calls?limit=1000{cursor}");
        let page = ask(address, "GET", &path, "").await?;
        for row in page.get("data").and_then(Value::as_array).context("a list")? {
            let conversation =
                row.get("conversation_id").and_then(Value::as_str).context("its conversation")?;
            let times = row.get("times").context("its times")?;
            let time = |name| times.get(name).and_then(Value::as_f64).context("a time");
            let call = Recorded {
                store: time("store_ms")?,
                record: time("record_ms")?,
                square: time("connector_ms")?,
                total: time("total_ms")?,
            };
            recorded.insert(conversation.to_owned(), call);
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(recorded),
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
