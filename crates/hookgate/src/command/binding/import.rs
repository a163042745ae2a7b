//! A file of bindings: one `provider,kind,external_id` a line.

use std::path::Path;

use super::{Bound, kind_named};
use crate::command::secret;
use crate::exit::Usage;
use crate::input;

/// The largest file, in lines: more ids than any account of a provider has. Each is one
/// request.
const LINES_MAX: usize = 100_000;

/// The first line, where there is one that says what the columns are.
const HEADER: &str = "provider,kind,external_id";

/// Reads all of the file before anything is bound, so that a wrong line changes nothing.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Bound>> {
    let place = file.display();
    let bytes = input::body(file)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Usage::new(format!("{place} is not UTF-8 text")))?;
    let ids = parse(text).map_err(|fault| Usage::new(format!("{place}, {fault}")))?;
    if ids.is_empty() {
        return Err(Usage::new(format!("{place} has no line `{HEADER}`")).into());
    }
    Ok(ids)
}

fn parse(text: &str) -> Result<Vec<Bound>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut ids = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        let is_header = ids.is_empty() && line.replace(' ', "").eq_ignore_ascii_case(HEADER);
        if line.is_empty() || line.starts_with('#') || is_header {
            continue;
        }
        if number > LINES_MAX {
            return Err(format!("line {number}: at most {LINES_MAX} lines; split the file"));
        }
        ids.push(parse_line(line).map_err(|fault| format!("line {number}: {fault}"))?);
    }
    Ok(ids)
}

fn parse_line(line: &str) -> Result<Bound, String> {
    let fields = fields(line).ok_or("a quotation mark is not closed")?;
    let [provider, kind, id] = fields.as_slice() else {
        return Err(format!("has {} fields, and needs {HEADER}", fields.len()));
    };
    let provider = secret::named(provider).map_err(|fault| fault.to_string())?.name;
    let kind = kind_named(kind).map_err(|fault| fault.to_string())?;
    if id.is_empty() {
        return Err("the id is empty".to_owned());
    }
    Ok(Bound { provider, kind, external_id: id.clone() })
}

/// The fields of a line as in RFC 4180: a field in quotation marks may hold commas, and a
/// doubled mark is one.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let text = text.trim_start();
        let Some(mut quoted) = text.strip_prefix('"') else {
            let (field, after) = match text.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (text, None),
            };
            fields.push(field.trim_end().to_owned());
            rest = after;
            continue;
        };
        let mut field = String::new();
        loop {
            let (inside, after) = quoted.split_once('"')?;
            field.push_str(inside);
            if let Some(more) = after.strip_prefix('"') {
                field.push('"');
                quoted = more;
                continue;
            }
            let after = after.trim_start();
            rest = if after.is_empty() { None } else { Some(after.strip_prefix(',')?) };
            break;
        }
        fields.push(field);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let ids = parse(text).map(|ids| {
            let one = |it: &Bound| format!("{}|{}|{}", it.provider, it.kind.name(), it.external_id);
            ids.iter().map(one).collect::<Vec<_>>().join(" ")
        });
        match expected {
            Ok(expected) => assert_eq!(ids.as_deref(), Ok(expected), "{text:?}"),
            Err(expected) => {
                let fault = ids.unwrap_err();
                assert!(fault.contains(expected), "{text:?}: {fault}");
            }
        }
    }

    #[test]
    fn a_file_is_lines_of_three_fields() {
        check("vapi,agent,a_1\n", Ok("vapi|agent|a_1"));
        check(
            "\u{feff}Provider, kind, external_id\r\n\n# ours\r\nretell , phone_number, +1 2 \r\n",
            Ok("retell|phone_number|+1 2"),
        );
        check("vapi,agent,\"a,\"\"b\"\ntawk,property,p", Ok("vapi|agent|a,\"b tawk|property|p"));
        check("", Ok(""));
    }

    #[test]
    fn a_wrong_line_is_named() {
        check("vapi,agent,a\nvapi,agent\n", Err("line 2: has 2 fields"));
        check("twilio,agent,a", Err("line 1: no provider is called"));
        check("vapi,assistant,a", Err("line 1: --kind assistant: there are agent"));
        check("vapi,organization,a", Err("line 1"));
        check("vapi,agent,", Err("line 1: the id is empty"));
        check("vapi,agent,\"a", Err("line 1: a quotation mark"));
        check("vapi,agent,\"a\"b", Err("line 1: a quotation mark"));
        check("vapi,agent,a,b", Err("line 1: has 4 fields"));
    }
}
