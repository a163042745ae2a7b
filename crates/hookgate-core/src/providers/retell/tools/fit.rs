//! Keeps an answer within what Retell passes on to its model.

use serde_json::Value;

use crate::tool::Reply;

/// What the model reads of an answer, in characters as sent: Retell cuts off the rest, so
/// that JSON would no longer be any (docs.retellai.com, custom function, read November
/// 2026).
const ANSWER_CHARS_MAX: usize = 15_000;

/// What is kept of a message that is too long by itself, in characters. Escaped, each
/// takes six at most.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// The same of a status, which is a word.
const STATUS_CHARS_MAX: usize = 64;

/// A reply's JSON, cut if need be: lists from their ends, then data altogether. The
/// sentence is cut last.
pub(super) fn fitted(reply: &Reply) -> Value {
    let whole = reply.to_json();
    if length(&whole) <= ANSWER_CHARS_MAX {
        return whole;
    }
    let mut cut = reply.clone().with("truncated", true);
    let over = excess(&cut);
    shorten(&mut cut, over);
    let over = excess(&cut);
    drop_largest(&mut cut, over);
    if excess(&cut) > 0 {
        cut.message = cut.message.chars().take(MESSAGE_CHARS_MAX).collect();
        cut.status = cut.status.chars().take(STATUS_CHARS_MAX).collect();
    }
    cut.to_json()
}

/// By how many characters a reply is too long.
fn excess(reply: &Reply) -> usize {
    length(&reply.to_json()).saturating_sub(ANSWER_CHARS_MAX)
}

/// How many characters a value takes when it is sent.
fn length(value: &Value) -> usize {
    value.to_string().chars().count()
}

/// Drops elements from the ends of lists, the longest list first, until so many characters
/// are gone, or no list has any left.
fn shorten(reply: &mut Reply, mut over: usize) {
    let mut lists = Vec::new();
    reply.data.values_mut().for_each(|value| collect(value, &mut lists));
    let mut sized: Vec<(usize, &mut Vec<Value>)> =
        lists.into_iter().map(|list| (list.iter().map(length).sum(), list)).collect();
    while over > 0 {
        let filled = sized.iter_mut().filter(|(_, list)| !list.is_empty());
        let Some((chars, list)) = filled.max_by_key(|(chars, _)| *chars) else { return };
        let gone = list.pop().map_or(0, |it| length(&it));
        *chars = chars.saturating_sub(gone);
        // The comma goes with it, unless it was alone.
        over = over.saturating_sub(gone.saturating_add(usize::from(!list.is_empty())));
    }
}

/// Drops the largest data until so many characters are gone.
fn drop_largest(reply: &mut Reply, mut over: usize) {
    let size = |(name, value): (&String, &Value)| (length(value), name.clone());
    let mut sizes: Vec<(usize, String)> = reply.data.iter().map(size).collect();
    sizes.sort_unstable();
    while over > 0 {
        let Some((chars, name)) = sizes.pop() else { return };
        if name != "truncated" {
            reply.data.remove(&name);
            // Its name goes too, with quotes, colon and comma.
            over = over.saturating_sub(chars.saturating_add(name.chars().count()));
        }
    }
}

/// The lists of a value that do not stand in other lists.
fn collect<'a>(value: &'a mut Value, lists: &mut Vec<&'a mut Vec<Value>>) {
    match value {
        Value::Array(list) => lists.push(list),
        Value::Object(members) => members.values_mut().for_each(|it| collect(it, lists)),
        _ => {}
    }
}
