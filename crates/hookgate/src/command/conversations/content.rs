//! Prints what the events of a conversation tell, as people read it.

use hookgate_core::mask::visible;
use serde_json::Value;

use crate::output::{counted, line, table};
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, text};

/// How much of one turn is printed, in characters: more is for `--json`.
const TURN_CHARS_MAX: usize = 2_000;

/// The number of a side, or what was sent in its place.
pub(super) fn number(record: &Value, side: &str) -> String {
    let known = text(record, &format!("/content/{side}/e164"), CELL_CHARS_MAX);
    match known.as_str() {
        "-" => text(record, &format!("/content/{side}/raw"), CELL_CHARS_MAX),
        _ => known,
    }
}

/// The provider's word for its state; else how far it is.
pub(super) fn status(record: &Value) -> String {
    match text(record, "/content/status", CELL_CHARS_MAX).as_str() {
        "-" => text(record, "/content/phase", CELL_CHARS_MAX),
        status => status.to_owned(),
    }
}

/// Prints it, below what is known of its owners.
pub(super) fn print(found: &Value) -> anyhow::Result<()> {
    let Some(content) = found.get("content").filter(|it| it.is_object()) else { return Ok(()) };
    line("")?;
    for (name, value) in facts(found, content) {
        line(format_args!("{name:<10}{value}"))?;
    }
    let items = |name: &str| content.get(name).and_then(Value::as_array).cloned();
    if let Some(recordings) = items("recordings").filter(|it| !it.is_empty()) {
        line("\nRecordings:")?;
        record::print_table(&recordings, &RECORDINGS)?;
    }
    if let Some(timeline) = items("timeline").filter(|it| !it.is_empty()) {
        line("\nTimeline:")?;
        record::print_table(&timeline, &TIMELINE)?;
    }
    for ticket in items("tickets").unwrap_or_default() {
        line(format_args!("\nTicket {}", text(&ticket, "/number", CELL_CHARS_MAX)))?;
        line(format_args!("  {}", text(&ticket, "/subject", TURN_CHARS_MAX)))?;
        line(format_args!("  {}", text(&ticket, "/text", TURN_CHARS_MAX)))?;
    }
    for report in items("reports").unwrap_or_default() {
        let (kind, date) =
            (text(&report, "/type", CELL_CHARS_MAX), text(&report, "/date", CELL_CHARS_MAX));
        line(format_args!("\nReport {kind} of {date}"))?;
        let metrics = report.get("metrics").and_then(Value::as_array).cloned();
        record::print_table(&metrics.unwrap_or_default(), &METRICS)?;
    }
    if let Some(turns) = items("transcript").filter(|it| !it.is_empty()) {
        line("\nTranscript:")?;
        let rows: Vec<Vec<String>> = turns.iter().map(turn).collect();
        table(&["  AT", "WHO", "SAID"], &rows)?;
    }
    if content.get("truncated").and_then(Value::as_bool) == Some(true) {
        line("\nIt is longer than what is kept here; the events have all of it.")?;
    }
    let behind = found.get("behind").and_then(Value::as_u64).unwrap_or(0);
    if behind > 0 {
        let behind = counted(behind, "record", "records");
        line(format_args!("\nNot in this yet: {behind} of the journal. Ask again."))?;
    }
    Ok(())
}

/// What a conversation has once, as far as it is known.
fn facts(found: &Value, content: &Value) -> Vec<(&'static str, String)> {
    let one = |pointer: &str| Some(text(content, pointer, TURN_CHARS_MAX)).filter(|it| it != "-");
    let joined = |parts: [Option<String>; 2]| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    };
    let at = |pointer: &str| Some(moment(content, pointer)).filter(|it| it != "-");
    let numbers = match (number(found, "our_number"), number(found, "their_number")) {
        (ours, theirs) if ours == "-" && theirs == "-" => None,
        (ours, theirs) => Some(format!("{ours} (ours), {theirs} (theirs)")),
    };
    let status = Some(status(found)).filter(|it| it != "-");
    let cost = one("/cost/amount").map(|it| {
        let unit = one("/cost/currency").or_else(|| one("/cost/unit")).unwrap_or_default();
        format!("{it} {unit}")
    });
    let all = [
        ("Channel", joined([one("/channel"), one("/direction")])),
        ("Status", joined([status, one("/end_reason")])),
        ("Numbers", numbers),
        ("With", joined([one("/participant/name"), one("/participant/email")])),
        ("Site", joined([one("/property/name"), one("/property/id")])),
        ("Began", at("/started_at")),
        ("Ended", at("/ended_at")),
        ("Length", one("/duration_seconds").map(|it| format!("{it} s"))),
        ("Cost", cost),
        ("Title", one("/analysis/title")),
        ("Summary", one("/analysis/summary")),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn turn(turn: &Value) -> Vec<String> {
    let at = match (moment(turn, "/at"), text(turn, "/at_seconds", CELL_CHARS_MAX)) {
        (at, _) if at != "-" => at,
        (_, seconds) if seconds != "-" => format!("{seconds} s"),
        _ => "-".to_owned(),
    };
    let who = match text(turn, "/name", CELL_CHARS_MAX).as_str() {
        "-" => text(turn, "/role", CELL_CHARS_MAX),
        name => name.to_owned(),
    };
    let said = match text(turn, "/text", TURN_CHARS_MAX).as_str() {
        "-" => text(turn, "/tool/name", CELL_CHARS_MAX),
        said => said.to_owned(),
    };
    vec![format!("  {}", visible(&at)), who, said]
}

const TIMELINE: [Column; 4] = [
    ("  RECEIVED", |it| format!("  {}", moment(it, "/received_at"))),
    ("KIND", |it| text(it, "/kind", CELL_CHARS_MAX)),
    ("TYPE", |it| text(it, "/type", CELL_CHARS_MAX)),
    ("EVENT", |it| text(it, "/event_id", CELL_CHARS_MAX)),
];

const RECORDINGS: [Column; 3] = [
    ("  KIND", |it| format!("  {}", text(it, "/kind", CELL_CHARS_MAX))),
    ("SECONDS", |it| text(it, "/seconds", CELL_CHARS_MAX)),
    ("WHERE", |it| match text(it, "/url", TURN_CHARS_MAX).as_str() {
        "-" => "in the event's body".to_owned(),
        url => url.to_owned(),
    }),
];

const METRICS: [Column; 3] = [
    ("  WHAT", |it| format!("  {}", text(it, "/name", CELL_CHARS_MAX))),
    ("VALUE", |it| text(it, "/value", CELL_CHARS_MAX)),
    ("UNIT", |it| text(it, "/unit", CELL_CHARS_MAX)),
];
