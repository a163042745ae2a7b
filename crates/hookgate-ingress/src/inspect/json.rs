//! A JSON body for people: indented, its keys in the order they came, its credentials
//! masked.

use std::fmt;

use hookgate_core::mask;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A body with its credentials masked.
pub(crate) struct Masked {
    /// As it came, as far as that can be shown.
    pub(crate) payload: Vec<u8>,
    /// Indented.
    pub(crate) indented: String,
}

/// Masks a body, or gives nothing if it is not JSON.
pub(crate) fn masked(body: &[u8]) -> Option<Masked> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let shape: Shape = serde_json::from_slice(body).ok()?;
    let mut masked = value.clone();
    mask::credentials(&mut masked);

    let mut indented = String::new();
    print(&mut indented, &shape, &masked, 0);
    let indented: Vec<String> = indented.lines().map(mask::visible).collect();

    let mut payload = body.to_vec();
    if masked != value {
        let mut hidden = Vec::new();
        hide(&value, &masked, &mut hidden);
        for text in &hidden {
            payload = super::replace(&payload, text.as_bytes(), mask::MASK.as_bytes());
        }
        // A credential that is written in some other way: then not as it came.
        if serde_json::from_slice::<Value>(&payload).ok().as_ref() != Some(&masked) {
            payload = masked.to_string().into_bytes();
        }
    }
    Some(Masked { payload, indented: indented.join("\n") })
}

/// The texts that were masked.
fn hide<'v>(value: &'v Value, masked: &Value, hidden: &mut Vec<&'v str>) {
    match (value, masked) {
        (Value::Object(fields), Value::Object(masked)) => {
            for (key, value) in fields {
                hide(value, masked.get(key).unwrap_or(&Value::Null), hidden);
            }
        }
        (Value::Array(items), Value::Array(masked)) => {
            items.iter().zip(masked).for_each(|(value, masked)| hide(value, masked, hidden));
        }
        (Value::String(text), masked) if masked != value && !text.is_empty() => hidden.push(text),
        _ => {}
    }
}

/// The order of a value's keys, which [`Value`] does not keep.
enum Shape {
    Leaf,
    List(Vec<Shape>),
    Fields(Vec<(String, Shape)>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut shapes = Vec::new();
        while let Some(shape) = items.next_element()? {
            shapes.push(shape);
        }
        Ok(Shape::List(shapes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Shape, A::Error> {
        let mut shapes: Vec<(String, Shape)> = Vec::new();
        while let Some(key) = fields.next_key::<String>()? {
            if shapes.iter().any(|(it, _)| *it == key) {
                fields.next_value::<IgnoredAny>()?;
            } else {
                shapes.push((key, fields.next_value()?));
            }
        }
        Ok(Shape::Fields(shapes))
    }
}

fn print(out: &mut String, shape: &Shape, value: &Value, depth: usize) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    match (shape, value) {
        (Shape::Fields(shapes), Value::Object(fields)) if !fields.is_empty() => {
            out.push('{');
            for (number, (key, shape)) in shapes.iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                print(out, shape, fields.get(key).unwrap_or(&Value::Null), depth + 1);
            }
            indent(out, depth);
            out.push('}');
        }
        (Shape::List(shapes), Value::Array(items)) if !items.is_empty() => {
            out.push('[');
            for (number, (shape, item)) in shapes.iter().zip(items).enumerate() {
                if number > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                print(out, shape, item, depth + 1);
            }
            indent(out, depth);
            out.push(']');
        }
        (_, leaf) => out.push_str(&leaf.to_string()),
    }
}
