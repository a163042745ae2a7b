//! What a destination asks of an event's content: a JSON pointer, an operator, a value.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// The longest JSON pointer, in bytes: no provider nests as deep.
pub const POINTER_BYTES_MAX: usize = 512;

/// The longest value to compare with, in bytes of JSON.
pub const VALUE_BYTES_MAX: usize = 1_024;

/// One thing that must hold of a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Where in the document (RFC 6901).
    pub pointer: String,
    /// How it is compared.
    pub op: Op,
    /// With what. [`Op::Exists`] takes `true`, `false` or nothing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It is the same; numbers by their value.
    Eq,
    /// It is another one, or is not there.
    Ne,
    /// It is greater; texts by their bytes, so that times of RFC 3339 in UTC are ordered.
    Gt,
    /// It is greater or the same.
    Ge,
    /// It is less.
    Lt,
    /// It is less or the same.
    Le,
    /// A text has it as a part, an array as an element, an object as a key.
    Contains,
    /// It is there, whatever it is; with the value `false`: it is not.
    Exists,
}

/// What is wrong with a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComparisonError {
    /// The pointer is none, or too long.
    #[error(
        "a pointer is empty or begins with `/`, has `~0` and `~1` alone behind `~`, and 512 bytes at most"
    )]
    Pointer,
    /// The value is too long.
    #[error("a value to compare with has 1024 bytes at most")]
    Long,
    /// The operator cannot be used with the value.
    #[error("`gt`, `ge`, `lt` and `le` want a number or a text, `exists` wants true or false")]
    Value,
}

impl Comparison {
    /// Checks it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), ComparisonError> {
        if !is_pointer(&self.pointer) {
            return Err(ComparisonError::Pointer);
        }
        if self.value.to_string().len() > VALUE_BYTES_MAX {
            return Err(ComparisonError::Long);
        }
        let fits = match self.op {
            Op::Eq | Op::Ne | Op::Contains => true,
            Op::Gt | Op::Ge | Op::Lt | Op::Le => self.value.is_number() || self.value.is_string(),
            Op::Exists => self.value.is_boolean() || self.value.is_null(),
        };
        if fits { Ok(()) } else { Err(ComparisonError::Value) }
    }

    /// Whether it holds of a document.
    #[must_use]
    pub fn holds(&self, document: &Value) -> bool {
        let found = document.pointer(&self.pointer);
        let is_ordered = |fits: fn(Ordering) -> bool| {
            found.and_then(|it| order(it, &self.value)).is_some_and(fits)
        };
        match self.op {
            Op::Eq => found.is_some_and(|it| are_same(it, &self.value)),
            Op::Ne => !found.is_some_and(|it| are_same(it, &self.value)),
            Op::Gt => is_ordered(Ordering::is_gt),
            Op::Ge => is_ordered(Ordering::is_ge),
            Op::Lt => is_ordered(Ordering::is_lt),
            Op::Le => is_ordered(Ordering::is_le),
            Op::Contains => found.is_some_and(|it| contains(it, &self.value)),
            Op::Exists => found.is_some() == self.value.as_bool().unwrap_or(true),
        }
    }
}

fn is_pointer(text: &str) -> bool {
    let begins = text.is_empty() || text.starts_with('/');
    let mut after_tilde = text.split('~').skip(1);
    begins && text.len() <= POINTER_BYTES_MAX && after_tilde.all(|it| it.starts_with(['0', '1']))
}

fn are_same(one: &Value, other: &Value) -> bool {
    one == other || order(one, other) == Some(Ordering::Equal)
}

/// The order of two numbers or two texts; others have none.
fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => numbers(one, other),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// Whole numbers exactly, others as floating-point numbers.
fn numbers(one: &Number, other: &Number) -> Option<Ordering> {
    let whole = |it: &Number| it.as_i64().map(i128::from).or_else(|| it.as_u64().map(i128::from));
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

fn contains(found: &Value, part: &Value) -> bool {
    match (found, part) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(elements), part) => elements.iter().any(|it| are_same(it, part)),
        (Value::Object(members), Value::String(key)) => members.contains_key(key),
        _ => false,
    }
}
