//! Templates: JSON with `{{path}}` in its texts, filled in from other JSON.
//!
//! There is no language in it: a path (`{{body.customer.number}}`, `{{response.slots.0}}`)
//! and perhaps a text for when nothing is there (`{{body.customer.name|there}}`).
//!
//! - **Values stay values.** What was filled in is not read again: a value with `{{…}}` in it
//!   is text, and one with quotes breaks out of nothing, because JSON is filled in as JSON.
//! - **Others have braces too.** Platforms have variables of their own that are written the
//!   same way. A placeholder is ours if its path begins with a name that the context has;
//!   anything else stays as it is.
//! - **Bounded.** What is filled in comes to [`FILLED_BYTES_MAX`] at most.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::{Map, Value};

/// What a template may fill in, in bytes of JSON: as much as is read of an endpoint's
/// answer. A value that no longer fits counts as missing.
pub const FILLED_BYTES_MAX: usize = 64 * 1024;

/// Placeholders of one template that are filled in; those behind count as missing. Each
/// may look through [`FILLED_BYTES_MAX`] of a value.
pub const PLACEHOLDERS_MAX: usize = 1000;

/// How deep what comes out may be nested, as in `serde_json`: anything deeper could be
/// written and not be read. What lies deeper in a template is null.
pub const DEPTH_MAX: usize = 127;

/// A piece of a text with placeholders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stays.
    Text(&'a str),
    /// A placeholder.
    Placeholder(Placeholder<'a>),
}

/// `{{path}}` or `{{path|default}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholder<'a> {
    /// All of it, with its braces.
    pub whole: &'a str,
    /// Names and numbers with a `.` between them.
    pub path: &'a str,
    /// What stands there if there is nothing at the path.
    pub default: Option<&'a str>,
}

/// Fills in a template.
///
/// A text that is one placeholder and nothing else becomes the value with its type; null if
/// there is none. Inside other text a value is text: nothing for null, JSON for objects and
/// lists. Names in objects stay as they are.
#[must_use]
pub fn render(template: &Value, context: &Value) -> Value {
    Render::new(context).value(template, 0)
}

/// Fills in a text; each value goes through `escape`, and so does what stands for it where
/// it is missing.
#[must_use]
pub fn render_text(template: &str, context: &Value, escape: fn(&str) -> String) -> String {
    Render::new(context).text(template, escape)
}

/// The paths of the placeholders in a text, in order; whose they are is not asked.
pub fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    pieces(template).filter_map(|piece| match piece {
        Piece::Placeholder(it) => Some(it.path),
        Piece::Text(_) => None,
    })
}

/// A text, piece by piece. Together the pieces are the text.
pub fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    Pieces { rest: template, next: None }
}

/// The value at a path, if there is one other than null.
#[must_use]
pub fn lookup<'a>(context: &'a Value, path: &str) -> Option<&'a Value> {
    let step = |value: &'a Value, name: &str| match value {
        Value::Object(object) => object.get(name),
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        _ => None,
    };
    path.split('.').try_fold(context, step).filter(|it| !it.is_null())
}

/// A value as it stands inside other text.
#[must_use]
pub fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

/// Whether a path begins with a name that the context has.
#[must_use]
pub fn is_of(context: &Value, path: &str) -> bool {
    let root = path.split('.').next().unwrap_or_default();
    context.get(root).is_some()
}

/// One template being filled in.
struct Render<'a> {
    context: &'a Value,
    bytes_left: usize,
    left: usize,
}

impl<'a> Render<'a> {
    fn new(context: &'a Value) -> Self {
        Self { context, bytes_left: FILLED_BYTES_MAX, left: PLACEHOLDERS_MAX }
    }

    fn value(&mut self, template: &Value, depth: usize) -> Value {
        let below = depth.saturating_add(1);
        match template {
            Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => Value::Null,
            Value::Array(list) => list.iter().map(|it| self.value(it, below)).collect(),
            Value::Object(object) => {
                let member = |(name, it): (&String, &Value)| (name.clone(), self.value(it, below));
                Value::Object(object.iter().map(member).collect::<Map<_, _>>())
            }
            Value::String(text) => match sole(text).filter(|it| is_of(self.context, it.path)) {
                Some(placeholder) => match self.found(placeholder, depth) {
                    Some(value) => value.clone(),
                    None => placeholder.default.map_or(Value::Null, Value::from),
                },
                None => Value::String(self.text(text, str::to_owned)),
            },
            other => other.clone(),
        }
    }

    fn text(&mut self, template: &str, escape: fn(&str) -> String) -> String {
        let mut out = String::with_capacity(template.len());
        for piece in pieces(template) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Placeholder(it) if !is_of(self.context, it.path) => out.push_str(it.whole),
                Piece::Placeholder(it) => match self.found(it, 0) {
                    Some(value) => out.push_str(&escape(&as_text(value))),
                    None => out.push_str(&escape(it.default.unwrap_or_default())),
                },
            }
        }
        out
    }

    /// The value for a placeholder, if there is one that fits. An empty text is as good as
    /// none where there is something better to say.
    fn found(&mut self, placeholder: Placeholder<'_>, depth: usize) -> Option<&'a Value> {
        self.left = self.left.checked_sub(1)?;
        let value = lookup(self.context, placeholder.path)?;
        if placeholder.default.is_some() && value.as_str().is_some_and(|it| it.trim().is_empty()) {
            return None;
        }
        self.bytes_left = left_behind(value, self.bytes_left, DEPTH_MAX.checked_sub(depth)?)?;
        Some(value)
    }
}

/// What is left of `bytes` behind the JSON of `value`; nothing if it does not fit, or is
/// nested deeper than `depth`. Stops where it no longer fits.
fn left_behind(value: &Value, bytes: usize, depth: usize) -> Option<usize> {
    match value {
        Value::Null | Value::Bool(_) => bytes.checked_sub(5),
        Value::Number(number) => bytes.checked_sub(number.to_string().len()),
        Value::String(text) => left_behind_text(text, bytes),
        Value::Array(list) => {
            let depth = depth.checked_sub(1)?;
            let bytes = bytes.checked_sub(2)?;
            list.iter().try_fold(bytes, |left, it| left_behind(it, left.checked_sub(1)?, depth))
        }
        Value::Object(object) => {
            let depth = depth.checked_sub(1)?;
            let bytes = bytes.checked_sub(2)?;
            object.iter().try_fold(bytes, |left, (name, it)| {
                left_behind(it, left_behind_text(name, left)?.checked_sub(2)?, depth)
            })
        }
    }
}

fn left_behind_text(text: &str, bytes: usize) -> Option<usize> {
    let left = bytes.checked_sub(text.len())?.checked_sub(2)?;
    // What JSON escapes becomes at most six bytes of one.
    let escaped = text.bytes().filter(|it| matches!(it, 0..=0x1f | b'"' | b'\\')).count();
    left.checked_sub(escaped.saturating_mul(5))
}

/// The placeholder that is all of a text.
fn sole(text: &str) -> Option<Placeholder<'_>> {
    match pieces(text).next() {
        Some(Piece::Placeholder(it)) if it.whole.len() == text.len() => Some(it),
        _ => None,
    }
}

struct Pieces<'a> {
    rest: &'a str,
    /// The placeholder that `rest` begins with, if that is known.
    next: Option<Placeholder<'a>>,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if let Some(found) = self.next.take() {
            self.rest = self.rest.get(found.whole.len()..)?;
            return Some(Piece::Placeholder(found));
        }
        if self.rest.is_empty() {
            return None;
        }
        let opens = self.rest.match_indices('{').map(|(at, _)| at);
        let found = opens.into_iter().find_map(|at| Some((at, opening(self.rest.get(at..)?)?)));
        let (text, behind) = match found {
            Some((at, _)) => self.rest.split_at_checked(at)?,
            None => (self.rest, ""),
        };
        self.rest = behind;
        self.next = found.map(|(_, it)| it);
        if text.is_empty() { self.next() } else { Some(Piece::Text(text)) }
    }
}

/// The placeholder that a text begins with. It ends at the first character that does not
/// belong there, so that many braces are looked at once each.
fn opening(text: &str) -> Option<Placeholder<'_>> {
    let inner = text.strip_prefix("{{")?;
    let end = inner.find(['{', '}'])?;
    let (inner, behind) = inner.split_at_checked(end)?;
    behind.strip_prefix("}}")?;
    let whole = text.get(..end.checked_add(4)?)?;
    let (path, default) = match inner.split_once('|') {
        Some((path, default)) => (path.trim(), Some(default.trim())),
        None => (inner.trim(), None),
    };
    let fits = |it: char| it.is_alphanumeric() || matches!(it, '_' | '-' | '$');
    let is_path = path.split('.').all(|name| !name.is_empty() && name.chars().all(fits));
    is_path.then_some(Placeholder { whole, path, default })
}
