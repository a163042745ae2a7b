//! A small check of JSON against an OpenAPI description: types, required and unknown
//! fields, enums, lengths, references.

use serde_json::Value;

/// Square's description.
pub(crate) struct Description(Value);

impl Description {
    pub(crate) fn read() -> Self {
        let text = include_str!("../../openapi/square-bookings.json");
        Self(serde_json::from_str(text).unwrap())
    }

    /// Holds a body of a request against the description.
    #[track_caller]
    pub(crate) fn check_request(&self, method: &str, path: &str, body: &Value) {
        let schema = &self.operation(method, path)["requestBody"]["content"]["application/json"];
        self.checked(&schema["schema"], body, &format!("{method} {path}"));
    }

    /// Holds an answer against the description.
    #[track_caller]
    pub(crate) fn check_answer(&self, method: &str, path: &str, status: u16, body: &Value) {
        let answer = &self.operation(method, path)["responses"][status.to_string()];
        let schema = &answer["content"]["application/json"]["schema"];
        self.checked(schema, body, &format!("{status} of {method} {path}"));
    }

    #[track_caller]
    fn checked(&self, schema: &Value, body: &Value, what: &str) {
        assert!(schema.is_object(), "{what} is not in the description");
        if let Err(wrong) = self.check(schema, body) {
            panic!("{what}: {wrong} in {body:#}");
        }
    }

    fn operation(&self, method: &str, path: &str) -> &Value {
        let path = path.split('?').next().unwrap();
        // A path by name wins over one with a parameter.
        let paths = self.0["paths"].as_object().unwrap();
        let found = paths.get(path).or_else(|| {
            paths.iter().find(|(template, _)| fits(template, path)).map(|(_, found)| found)
        });
        found.map_or(&Value::Null, |it| &it[method.to_lowercase()])
    }

    /// The first thing that is wrong with `value`.
    pub(crate) fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        if value.is_null() && schema["nullable"] == true {
            return Ok(());
        }
        if let Some(reference) = schema["$ref"].as_str() {
            // The list of codes is not closed: see the crate's first page.
            if reference.ends_with("/ErrorCode") {
                return value.as_str().map(drop).ok_or_else(|| "a code that is no text".to_owned());
            }
            let target = self.0.pointer(reference.strip_prefix('#').unwrap());
            return self.check(target.unwrap(), value);
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            return Err(format!("{value} is none of {allowed:?}"));
        }
        let is_of_type = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            _ => true,
        };
        if !is_of_type {
            return Err(format!("{value} is no {}", schema["type"]));
        }
        let size = |name: &str| schema[name].as_u64().and_then(|it| usize::try_from(it).ok());
        let length = value.as_str().map(|it| it.chars().count());
        if length.is_some_and(|it| size("maxLength").is_some_and(|max| it > max))
            || length.is_some_and(|it| size("minLength").is_some_and(|min| it < min))
        {
            return Err(format!("{value} is too long or too short"));
        }
        if value.as_i64() > schema["maximum"].as_i64().or(Some(i64::MAX)) {
            return Err(format!("{value} is too large"));
        }
        for item in value.as_array().into_iter().flatten() {
            self.check(&schema["items"], item)?;
        }
        self.check_fields(schema, value)
    }

    fn check_fields(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let Some(object) = value.as_object() else {
            return Ok(());
        };
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                return Err(format!("{name} is missing"));
            }
        }
        for (name, field) in object {
            let known = &schema["properties"][name];
            if known.is_object() {
                self.check(known, field).map_err(|wrong| format!("{name}: {wrong}"))?;
            } else if schema["properties"].is_object() && schema["additionalProperties"].is_null() {
                return Err(format!("{name} is unknown"));
            }
        }
        Ok(())
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(one, other)| one == other || one.starts_with('{'))
}

#[test]
fn what_is_not_as_described_is_found() {
    let described = Description::read();
    let booking = &described.0["components"]["schemas"]["Booking"];
    let wrong =
        |text: &str| described.check(booking, &serde_json::from_str(text).unwrap()).unwrap_err();
    assert_eq!(wrong(r#"{"version":"0"}"#), r#"version: "0" is no "integer""#);
    assert_eq!(wrong(r#"{"nonsense":1}"#), "nonsense is unknown");
    assert!(wrong(r#"{"status":"CANCELLED_BY_BUYER"}"#).contains("is none of"));
    assert!(wrong(r#"{"appointment_segments":[{}]}"#).contains("\"team_member_id\" is missing"));
    assert!(wrong(&format!(r#"{{"id":"{}"}}"#, "x".repeat(37))).contains("too long"));
    assert!(wrong(r#"{"id":null}"#).contains("is no \"string\""));
    assert_eq!(described.check(booking, &serde_json::json!({ "start_at": null })), Ok(()));
}
