//! What a connector needs of a Square account, in either of the forms that it is kept in.

use hookgate_core::secret::Secret;
use serde_json::{Map, Value};

/// A Square account of a tenant.
#[derive(Clone, Debug)]
pub struct SquareCredential {
    /// The token.
    pub access_token: Secret,
    /// The location that is booked.
    pub location_id: String,
    /// Which of Square's two worlds it is for.
    pub environment: Environment,
    /// The location's time zone (IANA), if it is not to be asked of Square.
    pub timezone: Option<String>,
}

/// Square's two worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Nothing is real.
    Sandbox,
    /// Everything is.
    Production,
}

/// Why a value is no Square account. Never says what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSquare {
    /// It is no JSON object.
    #[error("it is no JSON object")]
    NotAnObject,
    /// It has members of both forms.
    #[error("it has members of both forms, `access_token` and `squareAccessToken`")]
    BothForms,
    /// A member is missing, empty or no text.
    #[error("its member `{0}` is missing, empty or no text")]
    Member(&'static str),
    /// The environment is neither of the two.
    #[error("its environment is neither `sandbox` nor `production`")]
    Environment,
}

/// The names of the members in one form.
struct Form {
    access_token: &'static str,
    location_id: &'static str,
    environment: &'static str,
    timezone: &'static str,
}

/// As `PUT …/credentials/square` takes it.
const OURS: Form = Form {
    access_token: "access_token",
    location_id: "location_id",
    environment: "environment",
    timezone: "timezone",
};

/// As services for Retell's agents keep it: one JSON secret for each agent, with other
/// settings beside.
const AGENTS: Form = Form {
    access_token: "squareAccessToken",
    location_id: "squareLocationId",
    environment: "squareEnvironment",
    timezone: "timezone",
};

impl SquareCredential {
    /// What a tenant's is called. It may also be in a secret of the tenant's agent.
    pub const NAME: &str = "square";

    /// Reads either form. Other members are somebody else's.
    ///
    /// # Errors
    ///
    /// What is missing or wrong. The environment is never guessed: a token of the one world
    /// sent to the other books nothing, or something real.
    pub fn read(value: &Value) -> Result<Self, NotSquare> {
        let object = value.as_object().ok_or(NotSquare::NotAnObject)?;
        let has = |form: &Form| {
            [form.access_token, form.location_id, form.environment]
                .iter()
                .any(|it| object.contains_key(*it))
        };
        let form = match (has(&OURS), has(&AGENTS)) {
            (true, true) => return Err(NotSquare::BothForms),
            (false, true) => AGENTS,
            _ => OURS,
        };
        let environment = match text(object, form.environment)?.to_ascii_lowercase().as_str() {
            "sandbox" => Environment::Sandbox,
            "production" => Environment::Production,
            _ => return Err(NotSquare::Environment),
        };
        let timezone = match object.get(form.timezone) {
            None | Some(Value::Null) => None,
            Some(_) => Some(text(object, form.timezone)?.to_owned()),
        };
        Ok(Self {
            access_token: Secret::new(text(object, form.access_token)?),
            location_id: text(object, form.location_id)?.to_owned(),
            environment,
            timezone,
        })
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, NotSquare> {
    let text = object.get(name).and_then(Value::as_str).map(str::trim);
    text.filter(|it| !it.is_empty()).ok_or(NotSquare::Member(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        let ours = json!({
            "access_token": "sq-canary", "location_id": "L1", "environment": "sandbox",
            "timezone": "America/New_York",
        });
        let agents = json!({
            "squareAccessToken": "sq-canary", "squareLocationId": "L1",
            "squareEnvironment": "production", "timezone": "America/New_York",
            "staffEmail": "a@example.com",
        });
        for (value, environment) in
            [(ours, Environment::Sandbox), (agents, Environment::Production)]
        {
            let read = SquareCredential::read(&value).unwrap();
            assert_eq!(read.access_token.expose(), b"sq-canary");
            assert_eq!(read.location_id, "L1");
            assert_eq!(read.environment, environment);
            assert_eq!(read.timezone.as_deref(), Some("America/New_York"));
            assert!(!format!("{read:?}").contains("canary"));
        }
    }

    #[test]
    fn the_time_zone_may_be_left_to_square() {
        let value = json!({"access_token": "t", "location_id": "L", "environment": "Production"});
        let read = SquareCredential::read(&value).unwrap();
        assert_eq!((read.timezone, read.environment), (None, Environment::Production));
    }

    #[test]
    fn what_is_missing_is_said_and_nothing_is_guessed() {
        let rows = [
            (json!("sq-canary"), NotSquare::NotAnObject),
            (json!({}), NotSquare::Member("environment")),
            (json!({"access_token": "t", "location_id": "L"}), NotSquare::Member("environment")),
            (
                json!({"access_token": "t", "location_id": "L", "environment": "test"}),
                NotSquare::Environment,
            ),
            (
                json!({"access_token": " ", "location_id": "L", "environment": "sandbox"}),
                NotSquare::Member("access_token"),
            ),
            (
                json!({"access_token": "t", "location_id": 7, "environment": "sandbox"}),
                NotSquare::Member("location_id"),
            ),
            (
                json!({"squareAccessToken": "t", "squareEnvironment": "sandbox"}),
                NotSquare::Member("squareLocationId"),
            ),
            (
                json!({"access_token": "t", "squareLocationId": "L", "environment": "sandbox"}),
                NotSquare::BothForms,
            ),
            (
                json!({
                    "access_token": "t", "location_id": "L", "environment": "sandbox",
                    "timezone": 5,
                }),
                NotSquare::Member("timezone"),
            ),
        ];
        for (value, expected) in rows {
            let error = SquareCredential::read(&value).unwrap_err();
            assert_eq!(error, expected, "{value}");
            assert!(!error.to_string().contains("canary"));
        }
    }
}
