//! Records of the API as people read them: one in full, or many as a table.

use std::fmt::Display;

use hookgate_core::mask::visible;
use serde_json::{Value, json};

use crate::client::Rows;
use crate::exit::Outcome;
use crate::output::{line, remark, table};
use crate::stored::text;

/// How wide a cell of a table may be, in characters: the ids of the providers fit.
pub(crate) const CELL_CHARS_MAX: usize = 40;

/// A column of a table: its title, and what stands there.
pub(crate) type Column = (&'static str, fn(&Value) -> String);

/// Prints a list. `none` says what to do if it is empty.
pub(crate) fn list(
    rows: &Rows,
    columns: &[Column],
    as_json: bool,
    none: &str,
) -> anyhow::Result<Outcome> {
    if as_json {
        line(json!({ "data": rows.data }))?;
    } else if rows.data.is_empty() {
        remark(none);
    } else {
        print_table(&rows.data, columns)?;
    }
    if rows.more {
        remark("There are more: raise --limit.");
    }
    Ok(Outcome::Done)
}

/// Prints records as a table.
pub(crate) fn print_table(records: &[Value], columns: &[Column]) -> anyhow::Result<()> {
    let head: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let row = |record: &Value| columns.iter().map(|(_, cell)| cell(record)).collect();
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    table(&head, &rows)?;
    Ok(())
}

/// Prints what was done: the record as JSON, or a sentence.
pub(crate) fn done(record: &Value, as_json: bool, sentence: impl Display) -> anyhow::Result<()> {
    if as_json {
        line(record)?;
    } else {
        line(sentence)?;
    }
    Ok(())
}

/// Prints one record in full.
pub(crate) fn show(record: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json { Ok(line(record)?) } else { print(record, &[]) }
}

/// Whose an event is, in a word.
pub(crate) fn owner(event: &Value) -> String {
    let verdict = event.pointer("/attribution/verdict").and_then(Value::as_str);
    match text(event, "/tenant", CELL_CHARS_MAX) {
        // A released one belongs to whom it was given, whatever its verdict.
        nobody if nobody == "-" && verdict == Some("contradiction") => "contradiction".to_owned(),
        owner => owner,
    }
}

/// The ids that a provider named, and whose they are.
const CLAIMS: [Column; 3] = [
    ("  CLAIM", |it| format!("  {}", text(it, "/kind", CELL_CHARS_MAX))),
    ("ID", |it| text(it, "/external_id", CELL_CHARS_MAX)),
    ("TENANT", |it| text(it, "/tenant", CELL_CHARS_MAX)),
];

/// Prints a record: its plain fields aligned, then headers and payload.
pub(crate) fn print(record: &Value, apart: &[&str]) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    flatten("", record, apart, &mut rows);
    table(&[], &rows)?;
    if let Some(claims) = claims(record).filter(|it| !it.is_empty()) {
        line("\nThe provider names:")?;
        print_table(claims, &CLAIMS)?;
    }
    if let Some(headers) = record.get("headers").and_then(Value::as_array) {
        line("\nHeaders:")?;
        for header in headers {
            let name = text(header, "/0", usize::MAX);
            line(format_args!("  {name}: {}", text(header, "/1", usize::MAX)))?;
        }
    }
    match record.get("payload") {
        None => {}
        Some(Value::Null) => {
            line("\nBody: kept exactly, not shown (unproven, unreadable, erased or over 1 MiB)")?;
        }
        Some(payload) => {
            line("\nBody (credentials masked):")?;
            // JSON escapes line breaks inside of texts, so a line is a line of ours.
            let pretty = serde_json::to_string_pretty(payload)?;
            for text in pretty.lines() {
                line(format_args!("  {}", visible(text)))?;
            }
        }
    }
    Ok(())
}

fn claims(record: &Value) -> Option<&Vec<Value>> {
    record.pointer("/attribution/claims").or_else(|| record.get("claims"))?.as_array()
}

/// The fields of a record as rows; those of an object in it behind its name.
fn flatten(prefix: &str, value: &Value, apart: &[&str], rows: &mut Vec<Vec<String>>) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        // What the body says in the shape of all providers, it says itself below.
        let is_apart = matches!(name.as_str(), "headers" | "payload" | "canonical");
        if prefix.is_empty() && (is_apart || apart.contains(&name.as_str())) {
            continue;
        }
        if name == "claims" {
            continue;
        }
        let name = visible(&format!("{prefix}{name}"));
        match value {
            Value::Object(_) => flatten(&format!("{name}."), value, &[], rows),
            Value::Null => rows.push(vec![name, "-".to_owned()]),
            Value::String(text) => rows.push(vec![name, visible(text)]),
            other => rows.push(vec![name, visible(&other.to_string())]),
        }
    }
}
