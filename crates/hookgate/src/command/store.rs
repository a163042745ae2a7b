//! `hookgate store`: looks after what is kept.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hookgate_store::{Copied, CopyPlace, Progress, Report};
use serde_json::json;

use crate::cli::{Folder, Store};
use crate::config::{self, Place, RawConfig, StoreText};
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::output::{counted, line, remark};
use crate::stored;

/// How often the progress of long work is shown.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Where the store is in a database.
const NOTHING_TO_REBUILD: &str = "a store in PostgreSQL has no index of ours to make anew, as \
    PostgreSQL keeps its indexes itself; `hookgate conversations rebuild` makes anew what events \
    tell of conversations. For a store in a folder, name it with --store";

/// Where the store is in a database.
const BACK_UP_OTHERWISE: &str = "a store in PostgreSQL is backed up with PostgreSQL's own tools: \
    docs/postgres.md has the line for pg_dump. `hookgate store copy --from postgres://… --to \
    FOLDER` makes a store in a folder of it while no gateway runs. For a store in a folder, name \
    it with --store";

/// Runs the command.
pub(crate) fn run(command: &Store, environment: &Environment) -> anyhow::Result<Outcome> {
    let folder =
        |it: &Folder, instead| match stored::place(environment, config::text(it.store.as_ref()))? {
            Place::Folder(path) => Ok(path),
            Place::Postgres(_) => Err(anyhow::Error::from(Usage::new(instead))),
        };
    match command {
        Store::Check { at, json } => {
            check(&stored::place(environment, config::text(at.store.as_ref()))?, *json)
        }
        Store::Rebuild { folder: it } => rebuild(&folder(it, NOTHING_TO_REBUILD)?),
        Store::Backup { target, folder: it } => backup(&folder(it, BACK_UP_OTHERWISE)?, target),
        Store::Copy { from, to, json } => copy(from, to, *json, environment),
    }
}

fn check(place: &Place, as_json: bool) -> anyhow::Result<Outcome> {
    let mut meter = Meter::new();
    let note = |it| meter.show(it);
    let report = match place {
        Place::Folder(folder) => hookgate_store::check(folder, note),
        Place::Postgres(settings) => hookgate_store::check_database(settings, note),
    };
    meter.end();
    let report = report.context("cannot check the store")?;
    let outcome = if report.is_clean() { Outcome::Done } else { Outcome::Refused };
    if as_json {
        line(json!({
            "clean": report.is_clean(),
            "records": report.records,
            "bytes": report.bytes,
            "events": report.events,
            "blobs": report.blobs,
            "corrupt": report.corrupt,
            "misindexed": report.misindexed,
            "bad_blobs": report.bad_blobs,
            "unfinished_bytes": report.unfinished,
            "has_index": !report.has_no_index,
            "details": report.details,
        }))?;
        return Ok(outcome);
    }
    print(&report, place)?;
    Ok(outcome)
}

fn events(count: u64) -> String {
    counted(count, "event", "events")
}

fn bodies(count: u64) -> String {
    counted(count, "large body", "large bodies")
}

fn print(report: &Report, place: &Place) -> anyhow::Result<()> {
    let is_folder = matches!(place, Place::Folder(_));
    // In a database each record is an event.
    let records = counted(report.records, "record, ", "records, ");
    line(format_args!(
        "{}{}, {}, {} bytes read.",
        if is_folder { records } else { String::new() },
        events(report.events),
        bodies(report.blobs),
        report.bytes
    ))?;
    for detail in &report.details {
        line(format_args!("  {}", hookgate_core::mask::visible(detail)))?;
    }
    if report.unfinished > 0 {
        line(if is_folder {
            format!(
                "{} bytes behind the end were being written, or never finished: no fault.",
                report.unfinished
            )
        } else {
            format!(
                "{} bytes of large bodies are on their way, or were never finished: no fault.",
                report.unfinished
            )
        })?;
    }
    if report.has_no_index {
        line("There is no index: the next start makes it.")?;
    }
    if report.misindexed > 0 {
        line(if is_folder {
            format!(
                "Not in the index as in the journal: {}. Stop the gateway and run `hookgate store \
                 rebuild`.",
                events(report.misindexed)
            )
        } else {
            format!(
                "Something else than hookgate changed {} of events. Find out what, and restore \
                 them from a backup.",
                counted(report.misindexed, "row", "rows")
            )
        })?;
    }
    if report.corrupt > 0 || report.bad_blobs > 0 {
        line(if is_folder {
            format!(
                "Damaged: {} and {}. Look after the disk, and restore what is missing from a \
                 backup.",
                counted(report.corrupt, "place", "places"),
                bodies(report.bad_blobs)
            )
        } else {
            format!(
                "Damaged: {} and {}. Look after the database's disk, and restore what is missing \
                 from a backup.",
                events(report.corrupt),
                bodies(report.bad_blobs)
            )
        })?;
    }
    if report.is_clean() {
        line("All is as it was written.")?;
    }
    Ok(())
}

fn rebuild(folder: &Path) -> anyhow::Result<Outcome> {
    let mut meter = Meter::new();
    let rebuilt = hookgate_store::rebuild(folder, |it| meter.show(it));
    meter.end();
    rebuilt.with_context(|| format!("cannot make the index of {} anew", folder.display()))?;
    line(format_args!("The index of {} is made anew.", folder.display()))?;
    Ok(Outcome::Done)
}

fn backup(folder: &Path, target: &Path) -> anyhow::Result<Outcome> {
    let mut meter = Meter::new();
    let copied = hookgate_store::backup(folder, target, |it| meter.show(it));
    meter.end();
    copied.with_context(|| format!("cannot copy {} to {}", folder.display(), target.display()))?;
    line(format_args!(
        "{} is copied to {}. Keys and the operator's token are not in it: keep them elsewhere.",
        folder.display(),
        target.display()
    ))?;
    Ok(Outcome::Done)
}

fn copy(
    from: &StoreText,
    to: &StoreText,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let (raw, _) = RawConfig::read(None)?;
    let place = |text| config::place(&raw.store, config::text(Some(text)), environment);
    let (from, to) = (place(from)?, place(to)?);
    let mut meter = Meter::new();
    let note = |it| meter.show(it);
    // A connection to a database has a runtime of its own, and none may be around it.
    let copied = std::thread::scope(|scope| {
        let copying = scope.spawn(|| hookgate_store::copy(&of(&from), &of(&to), note));
        copying.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    meter.end();
    let copied = copied.with_context(|| format!("cannot copy {from} to {to}"))?;
    if as_json {
        line(told(&copied))?;
        return Ok(Outcome::Done);
    }
    if copied.resumed_after > 0 {
        line(format_args!("Went on behind place {}.", copied.resumed_after))?;
    }
    let rows: u64 = copied.tables.iter().map(|it| it.1).sum();
    line(format_args!(
        "{}, {} and {} of the registry are in {to}, compared with {from}.",
        events(copied.events),
        counted(copied.repetitions, "repetition", "repetitions"),
        counted(rows, "row", "rows")
    ))?;
    line(
        "The master key and the operator's token are in no store: the copy needs the same \
         HOOKGATE_MASTER_KEY. Requests that were refused are not copied.",
    )?;
    Ok(Outcome::Done)
}

fn of(place: &Place) -> CopyPlace {
    match place {
        Place::Folder(path) => CopyPlace::Folder(path.clone()),
        Place::Postgres(settings) => CopyPlace::Postgres(settings.clone()),
    }
}

fn told(copied: &Copied) -> serde_json::Value {
    let tables: serde_json::Map<_, _> =
        copied.tables.iter().map(|(name, rows)| ((*name).to_owned(), json!(rows))).collect();
    json!({
        "events": copied.events,
        "repetitions": copied.repetitions,
        "large_bodies": copied.large_bodies,
        "bytes": copied.bytes,
        "recordings": copied.recordings,
        "last_seq": copied.last_seq,
        "resumed_after": copied.resumed_after,
        "tables": tables,
        "digest": copied.digest,
    })
}

/// Shows how far long work is, on a terminal in one line, else now and then.
pub(crate) struct Meter {
    shown: Instant,
    is_terminal: bool,
    is_dirty: bool,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            shown: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            is_dirty: false,
        }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        if self.shown.elapsed() < SHOW_EVERY {
            return;
        }
        self.shown = Instant::now();
        let Progress { stage, done, total } = progress;
        let percent = done.saturating_mul(100).checked_div(total);
        let text = match percent {
            Some(percent) => format!("{stage}: {percent} %"),
            None => format!("{stage}: {done}"),
        };
        if self.is_terminal {
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{text:<40}");
            self.is_dirty = true;
        } else {
            remark(text);
        }
    }

    /// Leaves the line to what follows.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            let _ = write!(std::io::stderr(), "\r{:<40}\r", "");
        }
    }
}
