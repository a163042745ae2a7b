//! Prints JSON anew as common libraries do, so that a signature over such a print can be
//! recognised. Order of keys and digits of numbers stay unless a printer changes them.

use std::fmt::Write as _;

use serde::de::IgnoredAny;

/// A library's way to print JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printer {
    /// The same texts without white space.
    Compact,
    /// `JSON.stringify(JSON.parse(body))`.
    JavaScript,
    /// `JSON.stringify(JSON.parse(body), null, 2)`.
    JavaScriptIndented,
    /// `json.dumps(json.loads(body))`.
    Python,
    /// The same with `separators=(",", ":")`.
    PythonCompact,
    /// The same with `ensure_ascii=False`.
    PythonUnicode,
    /// The same with `indent=4`.
    PythonIndented,
    /// The same with `sort_keys=True`.
    PythonSorted,
    /// `json_encode(json_decode($body))`.
    Php,
    /// `json.Marshal` of a map: sorted keys, `<`, `>` and `&` escaped.
    Go,
    /// Sorted keys without white space.
    Sorted,
}

impl Printer {
    /// All of them.
    pub(super) const ALL: [Self; 11] = [
        Self::Compact,
        Self::JavaScript,
        Self::JavaScriptIndented,
        Self::Python,
        Self::PythonCompact,
        Self::PythonUnicode,
        Self::PythonIndented,
        Self::PythonSorted,
        Self::Php,
        Self::Go,
        Self::Sorted,
    ];

    /// What a user would call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact JSON",
            Self::JavaScript => "JavaScript's JSON.stringify",
            Self::JavaScriptIndented => "JavaScript's JSON.stringify with two blanks",
            Self::Python => "Python's json.dumps",
            Self::PythonCompact => "Python's json.dumps without blanks",
            Self::PythonUnicode => "Python's json.dumps with ensure_ascii=False",
            Self::PythonIndented => "Python's json.dumps with indent=4",
            Self::PythonSorted => "Python's json.dumps with sort_keys=True",
            Self::Php => "PHP's json_encode",
            Self::Go => "Go's json.Marshal",
            Self::Sorted => "compact JSON with sorted keys",
        }
    }

    const fn style(self) -> Style {
        let (space, text, sorted) = match self {
            Self::Compact => (Space::None, Text::AsSent, false),
            Self::JavaScript => (Space::None, Text::JavaScript, false),
            Self::JavaScriptIndented => (Space::Indent(2), Text::JavaScript, false),
            Self::Python => (Space::Blank, Text::Ascii, false),
            Self::PythonCompact => (Space::None, Text::Ascii, false),
            Self::PythonUnicode => (Space::Blank, Text::Unicode, false),
            Self::PythonIndented => (Space::Indent(4), Text::Ascii, false),
            Self::PythonSorted => (Space::Blank, Text::Ascii, true),
            Self::Php => (Space::None, Text::Php, false),
            Self::Go => (Space::None, Text::Go, true),
            Self::Sorted => (Space::None, Text::Unicode, true),
        };
        Style { space, text, sorted }
    }

    /// The body as this library prints it, or nothing if it is not JSON.
    pub(super) fn print(self, body: &[u8]) -> Option<Vec<u8>> {
        let body = std::str::from_utf8(body).ok()?;
        serde_json::from_str::<IgnoredAny>(body).ok()?;
        let style = self.style();
        if style.sorted {
            // The values of `serde_json` keep their keys sorted.
            let value: serde_json::Value = serde_json::from_str(body).ok()?;
            return Some(style.print(&value.to_string()).into_bytes());
        }
        Some(style.print(body).into_bytes())
    }
}

/// How a printer differs from another.
#[derive(Clone, Copy)]
struct Style {
    space: Space,
    text: Text,
    sorted: bool,
}

#[derive(Clone, Copy)]
enum Space {
    /// `{"a":1,"b":2}`.
    None,
    /// `{"a": 1, "b": 2}`.
    Blank,
    /// A line for each element.
    Indent(usize),
}

#[derive(Clone, Copy)]
enum Text {
    /// Escapes stay as they are.
    AsSent,
    /// Only what JSON must escape is escaped.
    Unicode,
    /// The same, and numbers lose what says nothing (`1.0` is `1`).
    JavaScript,
    /// Nothing but printable ASCII is left as it is.
    Ascii,
    /// The same, and `/` is escaped, and fractions lose what says nothing.
    Php,
    /// `<`, `>` and `&` are escaped, as is what JavaScript takes for a line's end, and
    /// numbers lose what says nothing.
    Go,
}

impl Style {
    /// Prints what is known to be JSON.
    fn print(self, json: &str) -> String {
        let mut out = String::with_capacity(json.len());
        let mut depth = 0_usize;
        let mut rest = json.trim_start();
        while let Some(first) = rest.chars().next() {
            let token = rest.get(..token_length(rest)).unwrap_or(rest);
            rest = rest.get(token.len()..).unwrap_or_default().trim_start();
            match first {
                '{' | '[' if rest.starts_with(['}', ']']) => out.push(first),
                '{' | '[' => {
                    out.push(first);
                    depth = depth.saturating_add(1);
                    self.break_line(&mut out, depth);
                }
                '}' | ']' => {
                    if !out.ends_with(['{', '[']) {
                        depth = depth.saturating_sub(1);
                        self.break_line(&mut out, depth);
                    }
                    out.push(first);
                }
                ',' => {
                    out.push(',');
                    if matches!(self.space, Space::Blank) {
                        out.push(' ');
                    }
                    self.break_line(&mut out, depth);
                }
                ':' if matches!(self.space, Space::None) => out.push(':'),
                ':' => out.push_str(": "),
                '"' => self.print_text(&mut out, token),
                '-' | '0'..='9' => self.print_number(&mut out, token),
                _ => out.push_str(token),
            }
        }
        out
    }

    fn break_line(self, out: &mut String, depth: usize) {
        if let Space::Indent(width) = self.space {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width.saturating_mul(depth)));
        }
    }

    fn print_number(self, out: &mut String, token: &str) {
        let is_float = match self.text {
            Text::JavaScript | Text::Go => true,
            Text::Php => token.contains(['.', 'e', 'E']),
            Text::AsSent | Text::Unicode | Text::Ascii => false,
        };
        let number: Option<f64> = token.parse().ok().filter(|_| is_float);
        match number {
            Some(0.0) => out.push('0'),
            // Beyond these each library writes an exponent in a way of its own.
            Some(number) if (1e-6..1e21).contains(&number.abs()) => {
                let _ = write!(out, "{number}");
            }
            _ => out.push_str(token),
        }
    }

    fn print_text(self, out: &mut String, token: &str) {
        let decoded: Option<String> = serde_json::from_str(token).ok();
        let Some(text) = decoded.filter(|_| !matches!(self.text, Text::AsSent)) else {
            out.push_str(token);
            return;
        };
        let plain = serde_json::to_string(&text).unwrap_or_default();
        for letter in plain.chars() {
            let escaped = match self.text {
                Text::AsSent | Text::Unicode | Text::JavaScript => false,
                Text::Ascii | Text::Php => !(' '..='~').contains(&letter),
                Text::Go => matches!(letter, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
            };
            if escaped {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            } else if letter == '/' && matches!(self.text, Text::Php) {
                out.push_str("\\/");
            } else {
                out.push(letter);
            }
        }
    }
}

/// The length of the token in front: a text, a word, a number or one sign.
fn token_length(json: &str) -> usize {
    let bytes = json.as_bytes();
    let Some(first) = bytes.first() else { return 0 };
    if *first == b'"' {
        let mut escaped = false;
        let end = bytes.iter().skip(1).position(|it| {
            let ends = *it == b'"' && !escaped;
            escaped = *it == b'\\' && !escaped;
            ends
        });
        return end.map_or(bytes.len(), |end| end.saturating_add(2));
    }
    let is_word = |it: &u8| it.is_ascii_alphanumeric() || b"+-.".contains(it);
    bytes.iter().take_while(|it| is_word(it)).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Node and Python printed these expectations (2026-11); PHP's and Go's follow their
    /// documentation.
    #[test]
    fn each_printer_prints_like_its_library() {
        let body = "{\"z\": 1.0, \"a\":[ ] ,\"t\":\"\\u00fc/<\u{1F389}\\n\",\"l\":[1,{\"k\":null}],\"e\":{}}";
        for (printer, expected) in [
            (
                Printer::Compact,
                "{\"z\":1.0,\"a\":[],\"t\":\"\\u00fc/<🎉\\n\",\"l\":[1,{\"k\":null}],\"e\":{}}",
            ),
            (
                Printer::JavaScript,
                "{\"z\":1,\"a\":[],\"t\":\"ü/<🎉\\n\",\"l\":[1,{\"k\":null}],\"e\":{}}",
            ),
            (
                Printer::Python,
                "{\"z\": 1.0, \"a\": [], \"t\": \"\\u00fc/<\\ud83c\\udf89\\n\", \"l\": [1, {\"k\": null}], \"e\": {}}",
            ),
            (
                Printer::PythonUnicode,
                "{\"z\": 1.0, \"a\": [], \"t\": \"ü/<🎉\\n\", \"l\": [1, {\"k\": null}], \"e\": {}}",
            ),
            (
                Printer::PythonSorted,
                "{\"a\": [], \"e\": {}, \"l\": [1, {\"k\": null}], \"t\": \"\\u00fc/<\\ud83c\\udf89\\n\", \"z\": 1.0}",
            ),
            (
                Printer::Php,
                "{\"z\":1,\"a\":[],\"t\":\"\\u00fc\\/<\\ud83c\\udf89\\n\",\"l\":[1,{\"k\":null}],\"e\":{}}",
            ),
            (
                Printer::Go,
                "{\"a\":[],\"e\":{},\"l\":[1,{\"k\":null}],\"t\":\"ü/\\u003c🎉\\n\",\"z\":1}",
            ),
            (
                Printer::JavaScriptIndented,
                "{\n  \"z\": 1,\n  \"a\": [],\n  \"t\": \"ü/<🎉\\n\",\n  \"l\": [\n    1,\n    {\n      \"k\": null\n    }\n  ],\n  \"e\": {}\n}",
            ),
        ] {
            let told = printer.print(body.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(told).unwrap(), expected, "{printer:?}");
        }
    }

    #[test]
    fn what_is_not_json_is_not_printed() {
        for body in [&b""[..], b"{", b"\"\xff\"", b"{} {}", b"\"\\"] {
            assert_eq!(Printer::Compact.print(body), None, "{body:?}");
        }
    }
}
