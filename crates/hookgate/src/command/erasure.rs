//! Erasing: being sure that it is meant, and following it to its end.

use std::fmt::Display;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use serde_json::Value;

use crate::cli::registry::Erasing;
use crate::client::{Api, path};
use crate::exit::{Outcome, Usage};
use crate::output::{counted, line, remark};
use crate::stored::text;

/// How often a running erasure is asked for. A person does not see the difference to less.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// How wide a number or an id may be, in characters.
const CELL_CHARS_MAX: usize = 40;

/// Asks whether `what` is meant: its `word` must be typed. Nothing can be asked where no
/// person sits.
pub(super) fn confirm(what: impl Display, word: &str, erasing: Erasing) -> anyhow::Result<bool> {
    if erasing.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Usage::new(format!("this erases {what} for good: say --yes to do it")).into());
    }
    remark(format_args!("This erases {what} for good."));
    let _ = write!(std::io::stderr(), "Type {word} to do it: ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    let is_meant = answer.trim() == word;
    if !is_meant {
        remark("Nothing was erased.");
    }
    Ok(is_meant)
}

/// Says what an erasure does, and follows it if that is wanted.
pub(super) async fn follow(
    api: &Api,
    mut erasure: Value,
    erasing: Erasing,
) -> anyhow::Result<Outcome> {
    let id = text(&erasure, "/id", CELL_CHARS_MAX);
    let mut shown = String::new();
    while erasing.wait && !is_done(&erasure) {
        let now = progress(&erasure);
        if !erasing.json && now != shown {
            remark(format_args!("… {now}"));
            shown = now;
        }
        tokio::time::sleep(ASK_EVERY).await;
        erasure = api.get(&path(&["erasures", &id])?, &[]).await?;
    }
    if erasing.json {
        line(&erasure)?;
    } else if is_done(&erasure) {
        line(format_args!("Erased: {}.", progress(&erasure)))?;
    } else {
        line(format_args!("{id} is erasing it; it goes on by itself, also after a restart."))?;
    }
    Ok(Outcome::Done)
}

fn is_done(erasure: &Value) -> bool {
    erasure.get("state").and_then(Value::as_str) == Some("done")
}

fn progress(erasure: &Value) -> String {
    let number = |name| erasure.get(name).and_then(Value::as_u64).unwrap_or(0);
    let counted = |name, one, many| counted(number(name), one, many);
    format!("{}, {}", counted("events", "event", "events"), counted("bytes", "byte", "bytes"))
}
