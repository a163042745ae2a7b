//! As much of JSON Schema as the OpenAPI document uses, to hold answers against it. It is
//! stricter than the standard: what a schema does not name must not be there.

use std::collections::BTreeMap;

use hookgate_core::time::Timestamp;
use serde_json::Value;

/// What `reference` (`#/…`) names in the document.
#[track_caller]
pub(crate) fn resolve<'a>(document: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.strip_prefix('#').expect("a reference into the document");
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// What is wrong with `value` under `schema`, with where it is.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let checker = Checker { document };
    checker.check(schema, value, "$", &mut faults);
    faults
}

struct Checker<'a> {
    document: &'a Value,
}

/// The members that an object may have, and whether each must be there.
type Members<'a> = BTreeMap<&'a str, (&'a Value, bool)>;

impl<'a> Checker<'a> {
    fn check(&self, schema: &'a Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        if let Some(reference) = schema.get("$ref") {
            let named = resolve(self.document, reference.as_str().unwrap());
            return self.check(named, value, at, faults);
        }
        for word in ["oneOf", "anyOf"] {
            if let Some(choices) = schema.get(word).and_then(Value::as_array) {
                let fits = |choice: &&Value| {
                    let mut faults = Vec::new();
                    self.check(choice, value, at, &mut faults);
                    faults.is_empty()
                };
                if !choices.iter().any(|choice| fits(&choice)) {
                    faults.push(format!("{at} is none of the choices: {value}"));
                }
                return;
            }
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            if !words.contains(value) {
                faults.push(format!("{at} is {value}, not one of {words:?}"));
            }
            return;
        }
        if !is_of_type(schema, value) {
            faults.push(format!("{at} is {value}, not {}", schema["type"]));
            return;
        }
        match value {
            Value::Object(fields) => {
                let mut members = Members::new();
                let is_open = self.members(schema, &mut members);
                for (name, (_, is_required)) in &members {
                    if *is_required && !fields.contains_key(*name) {
                        faults.push(format!("{at}.{name} is missing"));
                    }
                }
                for (name, value) in fields {
                    match members.get(name.as_str()) {
                        Some((schema, _)) => {
                            self.check(schema, value, &format!("{at}.{name}"), faults);
                        }
                        None if is_open => {}
                        None => faults.push(format!("{at}.{name} is not in the schema")),
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.check(&schema["items"], item, &format!("{at}[{index}]"), faults);
                }
            }
            Value::String(text)
                if schema["format"] == "date-time" && Timestamp::parse(text).is_none() =>
            {
                faults.push(format!("{at} is {text}, which is no time"));
            }
            _ => {}
        }
    }

    /// Adds the members of an object's schema, and says whether it may have others.
    fn members(&self, schema: &'a Value, into: &mut Members<'a>) -> bool {
        if let Some(reference) = schema.get("$ref") {
            return self.members(resolve(self.document, reference.as_str().unwrap()), into);
        }
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            into.insert(name, (schema, required.contains(&Value::from(name.as_str()))));
        }
        let parts = schema["allOf"].as_array().into_iter().flatten();
        let open_parts = parts.map(|part| self.members(part, into)).filter(|it| *it).count();
        let has_any = schema.get("properties").is_some() || schema.get("allOf").is_some();
        open_parts > 0 || schema.get("additionalProperties").is_some() || !has_any
    }
}

fn is_of_type(schema: &Value, value: &Value) -> bool {
    let names = match &schema["type"] {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().map(|it| it.as_str().unwrap()).collect(),
        _ => return true,
    };
    names.into_iter().any(|name| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("no such type: {other}"),
    })
}

#[test]
fn the_checker_finds_what_does_not_fit() {
    let document = serde_json::json!({"defs": {"Id": {"type": "string"}}});
    let schema = serde_json::json!({
        "allOf": [
            {"type": "object", "required": ["a"], "properties": {"a": {"type": ["integer", "null"]}}},
            {"type": "object", "properties": {
                "b": {"type": "array", "items": {"$ref": "#/defs/Id"}},
                "c": {"oneOf": [{"type": "null"}, {"enum": ["x"]}]},
                "d": {"type": "string", "format": "date-time"},
                "e": {"type": "object", "additionalProperties": {}},
            }},
        ],
    });
    let fits = |value: Value| faults(&document, &schema, &value);
    let none: [&str; 0] = [];
    assert_eq!(fits(serde_json::json!({"a": 1})), none);
    let whole = serde_json::json!(
        {"a": null, "b": ["x"], "c": "x", "d": "2026-11-22T08:00:00Z", "e": {"any": 1}}
    );
    assert_eq!(fits(whole), none);
    assert_eq!(fits(serde_json::json!({})), ["$.a is missing"]);
    assert_eq!(fits(serde_json::json!({"a": 1, "z": 1})), ["$.z is not in the schema"]);
    let wrong = serde_json::json!({"a": "1", "b": ["x", 2], "c": "y", "d": "today", "e": 1});
    assert_eq!(fits(wrong).len(), 5);
}
