//! What a platform is told of tools: JSON Schemas of their arguments, and definitions to
//! paste into it.
//!
//! Schemas have types and descriptions only: that is what all platforms and the models
//! behind them understand.

use serde_json::{Map, Value, json};

use super::catalog::{Shape, Tool};
use super::settings::HttpTool;
use crate::provider::Provider;

/// A tool as a platform is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its name on the wire.
    pub name: String,
    /// What it does, for the model.
    pub about: String,
    /// A JSON Schema of its arguments: of an object.
    pub parameters: Value,
}

impl From<&Tool> for Definition {
    fn from(tool: &Tool) -> Self {
        let (name, about) = (tool.name.to_owned(), tool.about.to_owned());
        Self { name, about, parameters: parameters(tool) }
    }
}

impl From<&HttpTool> for Definition {
    fn from(tool: &HttpTool) -> Self {
        let (name, about) = (tool.name.clone(), tool.about.clone());
        Self { name, about, parameters: object(&tool.parameters) }
    }
}

/// The JSON Schema of a tool's arguments.
#[must_use]
pub fn parameters(tool: &Tool) -> Value {
    let properties: Map<String, Value> = tool
        .arguments
        .iter()
        .map(|it| {
            let kind = match it.shape {
                Shape::Count => "integer",
                Shape::Id
                | Shape::Text
                | Shape::Phone
                | Shape::Email
                | Shape::Moment
                | Shape::Date => "string",
            };
            (it.name.to_owned(), json!({ "type": kind, "description": it.about }))
        })
        .collect();
    let required: Vec<&str> =
        tool.arguments.iter().filter(|it| it.is_required).map(|it| it.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// A schema that a tenant wrote, as one of an object.
fn object(schema: &Value) -> Value {
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    schema.insert("type".to_owned(), "object".into());
    schema.entry("properties").or_insert_with(|| json!({}));
    Value::Object(schema)
}

/// The tools as this provider's API and dashboard want them, in order; nothing if it calls
/// no tools. `url` is the public base URL of the gateway, or the whole URL of a source
/// (`https://…/in/SOURCE/TOKEN`).
#[must_use]
pub fn for_platform(provider: &Provider, tools: &[Definition], url: &str) -> Option<Value> {
    let calls = provider.calls.as_ref()?;
    let url = url.trim_end_matches('/');
    Some(tools.iter().map(|tool| (calls.define)(tool, url)).collect())
}

/// Whether a URL is that of a source, not the gateway's own.
pub(crate) fn is_of_source(url: &str) -> bool {
    url.contains("/in/")
}
