//! Standard output, line by line. `println!` would panic when the reader of a pipe is
//! gone; this gives an error, which [`crate::main`] takes for the end it is.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints one line.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Prints bytes exactly as they are.
pub(crate) fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Prints a remark to standard error, so that what stands on standard output stays clean.
pub(crate) fn remark(text: impl Display) {
    // Nobody is left to be told if standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// So many of something, in words: `1 delivery`, `2 deliveries`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Prints rows as a table: columns aligned, two blanks between them. `head` may be empty.
/// Cells are printed as they are: whoever fills them makes deceiving characters visible.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let head: Vec<String> = head.iter().map(|it| (*it).to_owned()).collect();
    let all = || (!head.is_empty()).then_some(&head).into_iter().chain(rows);
    let columns = all().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        all().filter_map(|row| row.get(column)).map(|it: &String| width_of(it)).max()
    };
    let widths: Vec<usize> = (0..columns).map(|it| width(it).unwrap_or(0)).collect();
    for row in all() {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(width_of(cell)).saturating_add(2),
            ));
        }
        line(text.trim_end())?;
    }
    Ok(())
}

fn width_of(cell: &str) -> usize {
    cell.chars().count()
}

/// `text` in at most `chars_max` characters, on one line, without characters that deceive.
pub(crate) fn cell(text: &str, chars_max: usize) -> String {
    let text = hookgate_core::mask::visible(text);
    if text.chars().count() <= chars_max {
        return text;
    }
    let kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{kept}…")
}
