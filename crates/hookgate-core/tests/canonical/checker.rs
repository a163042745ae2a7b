//! As much of JSON Schema as the schema of canonical events uses, to hold events against it.
//! It is stricter than the schema says: what that does not name must not be there.

use hookgate_core::canonical::{Moment, schema};
use serde_json::Value;

/// What is wrong with an event, with where it is.
pub(crate) fn faults(event: &Value) -> Vec<String> {
    let schema = schema::schema();
    let mut faults = Vec::new();
    check(&schema, &schema, event, "$", &mut faults);
    faults
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let named = root.pointer(reference.strip_prefix('#').unwrap()).expect(reference);
        return check(root, named, value, at, faults);
    }
    let mut fault = |what: &str| faults.push(format!("{at} is {value}, {what}"));
    if schema.get("const").is_some_and(|it| it != value) {
        return fault("not the constant");
    }
    if schema.get("enum").is_some_and(|it| !it.as_array().unwrap().contains(value)) {
        return fault("none of the words");
    }
    if !is_of_type(schema, value) {
        return fault(&format!("not {}", schema["type"]));
    }
    match value {
        Value::Object(members) if schema.get("properties").is_some() => {
            for name in schema["required"].as_array().into_iter().flatten() {
                if !members.contains_key(name.as_str().unwrap()) {
                    faults.push(format!("{at}.{name} is missing"));
                }
            }
            for (name, value) in members {
                match schema["properties"].get(name) {
                    Some(schema) => check(root, schema, value, &format!("{at}.{name}"), faults),
                    None => faults.push(format!("{at}.{name} is not in the schema")),
                }
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                if let Some(schema) = schema.get("additionalProperties") {
                    check(root, schema, value, &format!("{at}.{name}"), faults);
                }
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                check(root, &schema["items"], value, &format!("{at}[{index}]"), faults);
            }
        }
        Value::String(text) if !is_in_form(schema, text) => fault("in no such form"),
        Value::Number(it) => {
            let least = schema.get("minimum").and_then(Value::as_f64);
            if least.is_some_and(|least| it.as_f64().unwrap() < least) {
                fault("too small");
            }
        }
        _ => {}
    }
}

fn is_of_type(schema: &Value, value: &Value) -> bool {
    let names = match schema.get("type") {
        None => return true,
        Some(Value::Array(names)) => names.clone(),
        Some(name) => vec![name.clone()],
    };
    names.iter().any(|name| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        other => panic!("no such type: {other}"),
    })
}

fn is_in_form(schema: &Value, text: &str) -> bool {
    let format = match schema.get("format").and_then(Value::as_str) {
        None => true,
        // Stricter than the format: one way to write a moment.
        Some("date-time") => Moment::parse(text).is_some_and(|it| it.to_string() == text),
        Some("json-pointer") => text.starts_with('/'),
        Some(other) => panic!("no such format: {other}"),
    };
    let digits = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    let pattern = match schema.get("pattern").and_then(Value::as_str) {
        None => true,
        Some("^https?://") => text.starts_with("http://") || text.starts_with("https://"),
        Some("^[A-Z]{3}$") => text.len() == 3 && text.bytes().all(|it| it.is_ascii_uppercase()),
        Some(r"^\+[1-9][0-9]{6,14}$") => text
            .strip_prefix('+')
            .is_some_and(|it| (7..=15).contains(&it.len()) && digits(it) && !it.starts_with('0')),
        Some(other) => panic!("no such pattern: {other}"),
    };
    format && pattern
}

#[test]
fn the_checker_finds_what_does_not_fit() {
    let event = |rest: &str| -> Value {
        let text = format!(
            r#"{{"version":1,"kind":"other","type":"t","provider":"tawk","sources":{{}}{rest}}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(faults(&event("")), Vec::<String>::new());
    for wrong in [
        r#","more":1"#,
        r#","version":2"#,
        r#","received_at":"2026-11-22T08:00:00Z""#,
        r#","occurred_at":7"#,
        r#","conversation":{"channel":"fax"}"#,
        r#","conversation":{"our_number":{"e164":"0123"}}"#,
        r#","conversation":{"duration_seconds":-1}"#,
        r#","conversation":{"cost":{"currency":"USD"}}"#,
        r#","recordings":[{"kind":"mixed","url":"ftp://x"}]"#,
        r#","transcript":[{"text":"x"}]"#,
        r#","sources":{"type":"type"}"#,
    ] {
        assert_eq!(faults(&event(wrong)).len(), 1, "{wrong}: {:?}", faults(&event(wrong)));
    }
    assert_eq!(faults(&serde_json::json!({})).len(), 5);
}
