//! Reads and extends `.env` files.
//!
//! Written by hand for three reasons: the parser of `dotenvy` 0.15.7 prints the whole
//! line when it cannot read one (and with it the secret), replaces `$word` inside
//! unquoted secrets, and refuses several secrets separated by blanks.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;

use crate::exit::Usage;

/// The file, in the working folder.
pub(crate) const FILE: &str = ".env";

/// The largest file that is read, in bytes. It holds a few lines.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Who may read a file with secrets: its owner.
pub(crate) const OWNER_ONLY: u32 = 0o600;

/// Reads the variables in `path`, in order. A missing file has none.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    parse(&text(path)?).map_err(|(line, fault)| {
        Usage::new(format!("cannot read {}, line {line}: {fault}", path.display())).into()
    })
}

fn text(path: &Path) -> anyhow::Result<String> {
    let context = || format!("cannot read {}", path.display());
    let bytes = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error).with_context(context),
    };
    anyhow::ensure!(bytes <= FILE_BYTES_MAX, "{} is larger than 1 MiB", path.display());
    fs::read_to_string(path).with_context(context)
}

/// The variables in a text, or the number of the line that is wrong and why. What stands
/// in the line is never repeated: it may be a secret.
fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        if let Some(variable) = parse_line(line).map_err(|fault| (number, fault))? {
            variables.push(variable);
        }
    }
    Ok(variables)
}

fn parse_line(line: &str) -> Result<Option<(String, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("it is not written NAME=value")?;
    let name = name.trim();
    if name.is_empty() || !name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_') {
        return Err("a name has letters, digits and `_` only");
    }
    Ok(Some((name.to_owned(), parse_value(value.trim())?)))
}

fn parse_value(value: &str) -> Result<String, &'static str> {
    if let Some(rest) = value.strip_prefix('\'') {
        let (value, behind) = rest.split_once('\'').ok_or("the quote is not closed")?;
        return only_comment(behind).map(|()| value.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        // A comment needs a blank in front of it: `#` may be a part of a secret.
        let end = value.find(" #").or_else(|| value.find("\t#")).unwrap_or(value.len());
        let value = value.get(..end).unwrap_or(value).trim_end();
        return Ok(if value.starts_with('#') { String::new() } else { value.to_owned() });
    };
    let mut value = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next().ok_or("the quote is not closed")? {
            '"' => break,
            '\\' => match characters.next().ok_or("the quote is not closed")? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                it @ ('"' | '\\' | '$') => value.push(it),
                _ => return Err("of escapes, \\n, \\t, \\\", \\$ and \\\\ are known"),
            },
            it => value.push(it),
        }
    }
    only_comment(characters.as_str()).map(|()| value)
}

fn only_comment(behind: &str) -> Result<(), &'static str> {
    let behind = behind.trim_start();
    if behind.is_empty() || behind.starts_with('#') {
        Ok(())
    } else {
        Err("text behind the closing quote")
    }
}

/// Adds variables to the file at `path`, readable by its owner alone. What stands there
/// stays as it is, but a line that gives a variable no value is filled in.
pub(crate) fn add(path: &Path, variables: &[(&str, String)]) -> anyhow::Result<()> {
    // Through a link to the file it names: renaming over it would cut the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let text = extended(&text(&path)?, variables);
    replace(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn extended(text: &str, variables: &[(&str, String)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (name, value) in variables {
        let new = format!("{name}={value}");
        let is_empty_one = |line: &&mut String| matches!(parse_line(line), Ok(Some((it, value))) if it == *name && value.trim().is_empty());
        match lines.iter_mut().find(is_empty_one) {
            Some(line) => *line = new,
            None => lines.push(new),
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// Writes a file for its owner's eyes alone, whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = Path::new(&name);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(OWNER_ONLY)
            .open(new)?;
        file.set_permissions(fs::Permissions::from_mode(OWNER_ONLY))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(new, path)
    };
    write().inspect_err(|_| {
        // The first error is the one to report.
        let _ = fs::remove_file(new);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[(&str, &str)], (usize, &str)>) {
        let expected = expected.map(|pairs| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        });
        assert_eq!(parse(text), expected, "{text:?}");
    }

    #[test]
    fn secrets_come_out_as_they_were_pasted() {
        check("A=x", Ok(&[("A", "x")]));
        check("\u{feff}# note\r\nexport A = x \r\n\r\nB=", Ok(&[("A", "x"), ("B", "")]));
        check("A=old new", Ok(&[("A", "old new")]));
        check("A=pa$word#1 # note", Ok(&[("A", "pa$word#1")]));
        check("A=# note", Ok(&[("A", "")]));
        check("A='a # $b \\n' # note", Ok(&[("A", "a # $b \\n")]));
        check(r#"A="a \"b\" \\ \$c""#, Ok(&[("A", r#"a "b" \ $c"#)]));
        check("A=MTIz+/8==", Ok(&[("A", "MTIz+/8==")]));
    }

    #[test]
    fn a_wrong_line_is_named_by_number_and_never_repeated() {
        check("A=1\nhunter2", Err((2, "it is not written NAME=value")));
        check("A B=1", Err((1, "a name has letters, digits and `_` only")));
        check("A='x", Err((1, "the quote is not closed")));
        check("A=\"x\" y", Err((1, "text behind the closing quote")));
    }

    #[test]
    fn adding_fills_empty_lines_and_keeps_the_rest() {
        let variables = [("A", "1".to_owned()), ("B", "2".to_owned())];
        assert_eq!(extended("# a\nA=\nC=3", &variables), "# a\nA=1\nC=3\nB=2\n");
        assert_eq!(extended("", &variables), "A=1\nB=2\n");
    }
}
