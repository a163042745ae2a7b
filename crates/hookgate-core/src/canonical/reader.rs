//! Takes values out of a body, and notes where each was.
//!
//! Pointers are RFC 6901, from [`Reader::base`] on; one that begins with `#` counts from the
//! root. The first of several that holds something usable counts.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::shape::{CanonicalEvent, Conversation, Cost, Recording, RecordingKind, Turn};
use super::{About, Moment, PhoneNumber};
use crate::mask;

/// Turns of a transcript. An hour of talk has some hundreds.
pub const TURNS_MAX: usize = 2000;

/// One text, in characters. Nobody says more in one turn; what a tool answers may be longer.
pub const TEXT_CHARS_MAX: usize = 16 * 1024;

/// An id, a name, a word, in characters. A longer one is none.
pub const WORD_CHARS_MAX: usize = 512;

/// A link, in characters: presigned ones have some hundreds.
pub const URL_CHARS_MAX: usize = 4096;

/// Free JSON (metadata, analysis), in bytes. More is for a program that reads the body.
pub const DATA_BYTES_MAX: usize = 64 * 1024;

/// Recordings, attachments, tools, metrics of one event. A report has some dozens of metrics.
pub const ITEMS_MAX: usize = 256;

/// A length, in seconds: ten years. More is a unit that is misread.
const SECONDS_MAX: f64 = 315_360_000.0;

/// How a provider writes a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// RFC 3339.
    Text,
}

/// A body that is read, and what was noted on the way.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    body: &'a Value,
    about: &'a About<'a>,
    base: String,
    /// What stands at the base.
    here: &'a Value,
    /// Nothing where nobody asks for them.
    sources: Option<BTreeMap<String, String>>,
    is_truncated: bool,
}

impl<'a> Reader<'a> {
    /// Reads `body`; without one there is nothing at any place.
    pub(crate) fn new(body: Option<&'a Value>, about: &'a About<'a>) -> Self {
        let body = body.unwrap_or(&Value::Null);
        let sources = Some(BTreeMap::new());
        Self { body, about, base: String::new(), here: body, sources, is_truncated: false }
    }

    /// The same, and notes no places.
    pub(crate) fn without_sources(body: Option<&'a Value>, about: &'a About<'a>) -> Self {
        Self { sources: None, ..Self::new(body, about) }
    }

    /// What is known besides the body.
    pub(crate) const fn about(&self) -> &'a About<'a> {
        self.about
    }

    /// Whether there is a body at all.
    pub(crate) fn has_body(&self) -> bool {
        !self.body.is_null()
    }

    /// Goes to the first of these places that is an object, or to the root.
    pub(crate) fn enter(&mut self, places: &[&str]) -> bool {
        let found = places.iter().find_map(|place| {
            let here = at(self.body, place).filter(|it| it.is_object())?;
            Some((*place, here))
        });
        let (base, here) = found.unwrap_or(("", self.body));
        base.clone_into(&mut self.base);
        self.here = here;
        found.is_some()
    }

    /// The whole pointer of one that counts from the base.
    fn whole(&self, pointer: &str) -> String {
        pointer.strip_prefix('#').map_or_else(|| format!("{}{pointer}", self.base), str::to_owned)
    }

    /// What stands there, without a note.
    pub(crate) fn peek(&self, pointer: &str) -> Option<&'a Value> {
        let found = match pointer.strip_prefix('#') {
            Some(whole) => at(self.body, whole),
            None => at(self.here, pointer),
        };
        found.filter(|it| !it.is_null())
    }

    /// The text that stands there, without a note.
    pub(crate) fn peek_text(&self, pointer: &str) -> Option<&'a str> {
        self.peek(pointer).and_then(Value::as_str).map(str::trim).filter(|it| !it.is_empty())
    }

    /// Notes that the value at `field` was read from here.
    pub(crate) fn note(&mut self, field: &str, pointer: &str) {
        let pointer = self.sources.is_some().then(|| self.whole(pointer));
        if let (Some(sources), Some(pointer)) = (&mut self.sources, pointer) {
            sources.insert(field.to_owned(), pointer);
        }
    }

    /// Notes that a value was made of the one at another field.
    pub(crate) fn note_same(&mut self, field: &str, other: &str) {
        let Some(sources) = &mut self.sources else { return };
        if let Some(pointer) = sources.get(other).cloned() {
            sources.insert(field.to_owned(), pointer);
        }
    }

    /// The same, if it was.
    pub(crate) fn note_same_if(&mut self, was: bool, field: &str, other: &str) {
        if was {
            self.note_same(field, other);
        }
    }

    /// Takes a note back.
    pub(crate) fn forget(&mut self, field: &str) {
        if let Some(sources) = &mut self.sources {
            sources.remove(field);
        }
    }

    /// Notes where a value stands that was read before.
    pub(crate) fn note_where(&mut self, field: &str, value: Option<&str>, pointers: &[&str]) {
        let Some(value) = value.filter(|_| self.sources.is_some()) else { return };
        let is_it = |it: &&&str| self.peek(it).and_then(word).as_deref() == Some(value);
        if let Some(found) = pointers.iter().find(is_it) {
            self.note(field, found);
        }
    }

    /// Notes what the strict walk read of the body: the event's type and ids.
    pub(crate) fn note_about(&mut self, types: &[&str], externals: &[&str], ids: &[&str]) {
        self.note_where("type", Some(self.about.event_type), types);
        self.note_where("external_id", self.about.external_id, externals);
        self.note_where("conversation.id", self.about.conversation_id, ids);
    }

    /// What `read` makes of the first of these places that it can read.
    pub(crate) fn find<T>(
        &mut self,
        field: &str,
        pointers: &[&str],
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let found = pointers.iter().find_map(|it| Some((*it, self.peek(it).and_then(&read)?)));
        let (pointer, value) = found?;
        self.note(field, pointer);
        Some(value)
    }

    /// A text that people read. It is cut where it is too long.
    pub(crate) fn text(&mut self, field: &str, pointers: &[&str]) -> Option<String> {
        let text = self.find(field, pointers, |it| filled(it.as_str()?))?;
        Some(self.cut(text))
    }

    /// An id, a name or a word: a text, or a number as text.
    pub(crate) fn word(&mut self, field: &str, pointers: &[&str]) -> Option<String> {
        self.find(field, pointers, word)
    }

    /// A truth.
    pub(crate) fn flag(&mut self, field: &str, pointers: &[&str]) -> Option<bool> {
        self.find(field, pointers, Value::as_bool)
    }

    /// A telephone number.
    pub(crate) fn phone(&mut self, field: &str, pointers: &[&str]) -> Option<PhoneNumber> {
        self.find(field, pointers, |it| PhoneNumber::read(&word(it)?))
    }

    /// A moment.
    pub(crate) fn moment(&mut self, field: &str, pointers: &[&str], unit: Unit) -> Option<Moment> {
        self.find(field, pointers, |it| moment(it, unit))
    }

    /// A length, in seconds. The body has `per_second` of its unit in a second.
    pub(crate) fn seconds(
        &mut self,
        field: &str,
        pointers: &[&str],
        per_second: f64,
    ) -> Option<Number> {
        self.find(field, pointers, |it| seconds(it, per_second))
    }

    /// Computes the length of a conversation of which only the beginning and the end are told.
    pub(crate) fn length(&mut self, it: &mut Conversation) {
        let (None, Some(started), Some(ended)) = (&it.duration_seconds, it.started_at, it.ended_at)
        else {
            return;
        };
        let millis = ended.at().millis().checked_sub(started.at().millis());
        it.duration_seconds = millis.and_then(|it| seconds(&it.into(), 1000.0));
        let is_known = it.duration_seconds.is_some();
        self.note_same_if(is_known, "conversation.duration_seconds", "conversation.ended_at");
    }

    /// A cost in US dollars. The body has `per_dollar` of its unit in a dollar.
    pub(crate) fn dollars(&mut self, pointers: &[&str], per_dollar: f64) -> Option<Cost> {
        let amount = self.find("conversation.cost", pointers, |it| amount(it, per_dollar))?;
        Some(Cost { amount, currency: Some("USD".to_owned()), unit: None })
    }

    /// Free JSON, credentials masked: an object with something in it.
    pub(crate) fn data(&mut self, field: &str, pointers: &[&str]) -> Option<Value> {
        let found = self.find(field, pointers, |it| {
            it.as_object().is_some_and(|it| !it.is_empty()).then_some(it)
        })?;
        let mut data = found.clone();
        mask::credentials(&mut data);
        if data.to_string().len() > DATA_BYTES_MAX {
            self.is_truncated = true;
            self.forget(field);
            return None;
        }
        Some(data)
    }

    /// The items of a list, at most [`ITEMS_MAX`], each with its pointer.
    pub(crate) fn items(&mut self, pointer: &str) -> Vec<(String, &'a Value)> {
        let whole = self.whole(pointer);
        let list = at(self.body, &whole).and_then(Value::as_array);
        let list = list.map(Vec::as_slice).unwrap_or_default();
        self.is_truncated |= list.len() > ITEMS_MAX;
        let list = list.iter().take(ITEMS_MAX).enumerate();
        list.map(|(index, it)| (format!("#{whole}/{index}"), it)).collect()
    }

    /// The transcript from the first of these lists that has a turn; `read` adds what an
    /// item of it says.
    pub(crate) fn turns(
        &mut self,
        pointers: &[&str],
        read: fn(&Value, &mut Vec<Turn>),
    ) -> Option<Vec<Turn>> {
        for pointer in pointers {
            let list = self.peek(pointer).and_then(Value::as_array);
            let mut turns = Vec::new();
            for item in list.map(Vec::as_slice).unwrap_or_default() {
                read(item, &mut turns);
                if turns.len() > TURNS_MAX {
                    break;
                }
            }
            if !turns.is_empty() {
                self.note("transcript", pointer);
                return Some(self.bounded(turns));
            }
        }
        None
    }

    /// The transcript from the first of these texts that has one.
    pub(crate) fn spoken(
        &mut self,
        pointers: &[&str],
        read: fn(&str) -> Vec<Turn>,
    ) -> Option<Vec<Turn>> {
        let found = self.find("transcript", pointers, |it| filled(it.as_str()?))?;
        let turns = self.bounded(read(&found));
        (!turns.is_empty()).then_some(turns)
    }

    /// A transcript within its limits.
    pub(crate) fn bounded(&mut self, mut turns: Vec<Turn>) -> Vec<Turn> {
        self.is_truncated |= turns.len() > TURNS_MAX;
        turns.truncate(TURNS_MAX);
        for turn in &mut turns {
            turn.text = turn.text.take().map(|it| self.cut(it));
        }
        turns
    }

    /// Adds the recording whose link stands at the first of these places.
    pub(crate) fn recording(
        &mut self,
        into: &mut CanonicalEvent,
        kind: RecordingKind,
        pointers: &[&str],
    ) {
        let recordings = into.recordings.get_or_insert_default();
        let field = format!("recordings.{}.url", recordings.len());
        let known: Vec<String> = recordings.iter().filter_map(|it| it.url.clone()).collect();
        let url = self.find(&field, pointers, |it| link(it).filter(|it| !known.contains(it)));
        recordings.extend(url.map(|url| Recording {
            kind,
            url: Some(url),
            ..Recording::default()
        }));
    }

    /// Cuts a text to its limit.
    pub(crate) fn cut(&mut self, text: String) -> String {
        match text.char_indices().nth(TEXT_CHARS_MAX) {
            Some((end, _)) => {
                self.is_truncated = true;
                text.get(..end).unwrap_or_default().to_owned()
            }
            None => text,
        }
    }

    /// Puts what was noted into the event, and leaves out what stayed empty.
    pub(crate) fn finish(self, event: &mut CanonicalEvent) {
        event.transcript = event.transcript.take().filter(|it| !it.is_empty());
        event.recordings = event.recordings.take().filter(|it| !it.is_empty());
        event.tools = event.tools.take().filter(|it| !it.is_empty());
        event.truncated = self.is_truncated.then_some(true);
        event.sources = self.sources.unwrap_or_default();
    }
}

/// What stands at a pointer: [`Value::pointer`] would make two texts of each step of it.
pub(crate) fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let is_plain = pointer.starts_with('/') && !pointer.contains('~');
    let mut steps = pointer.split('/').skip(1);
    let walk = |value: &'v Value, step: &str| match value {
        Value::Object(map) => map.get(step),
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        _ => None,
    };
    if is_plain { steps.try_fold(value, walk) } else { value.pointer(pointer) }
}

/// A text with something in it.
pub(crate) fn filled(text: &str) -> Option<String> {
    Some(text).filter(|it| !it.trim().is_empty()).map(str::to_owned)
}

/// A short text, or a number as text.
pub(crate) fn word(value: &Value) -> Option<String> {
    let word = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let fits = !word.is_empty() && word.chars().count() <= WORD_CHARS_MAX;
    fits.then_some(word)
}

/// A link that can be fetched.
pub(crate) fn link(value: &Value) -> Option<String> {
    let url = value.as_str()?.trim();
    let fits = url.len() <= URL_CHARS_MAX && !url.contains(char::is_whitespace);
    let is_http = url.starts_with("https://") || url.starts_with("http://");
    (fits && is_http).then(|| url.to_owned())
}

/// A moment in the provider's unit. Numbers may be written as texts (ElevenLabs' pages say
/// "string" where their samples have a number).
pub(crate) fn moment(value: &Value, unit: Unit) -> Option<Moment> {
    let number = || value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    let millis = match unit {
        Unit::Text => return Moment::parse(value.as_str()?),
        Unit::Seconds => number()? * 1000.0,
        Unit::Millis => number()?,
    };
    Moment::of(crate::time::Timestamp::from_millis(integer(millis.round())?))
}

/// A length in seconds, to the millisecond. The value has `per_second` units in a second.
pub(crate) fn seconds(value: &Value, per_second: f64) -> Option<Number> {
    let seconds = value.as_f64()? / per_second;
    let fits = (0.0..=SECONDS_MAX).contains(&seconds);
    fits.then(|| number((seconds * 1e3).round() / 1e3))?
}

/// An amount, to the millionth. The value has `per_unit` units in a whole one.
pub(crate) fn amount(value: &Value, per_unit: f64) -> Option<Number> {
    let amount = value.as_f64()? / per_unit;
    // Beyond this a double has no millionths any more.
    (amount.abs() < 1e9).then(|| number((amount * 1e6).round() / 1e6))?
}

/// A number as JSON writes it: without `.0` if it is whole.
fn number(value: f64) -> Option<Number> {
    integer(value).map(Number::from).or_else(|| Number::from_f64(value))
}

/// A whole number that a double holds exactly.
#[expect(clippy::cast_possible_truncation, reason = "it is whole, and below 2^53")]
fn integer(value: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    (value.fract() == 0.0 && value.abs() < EXACT_MAX).then_some(value as i64)
}
