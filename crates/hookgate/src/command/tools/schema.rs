//! `hookgate tools schema`: definitions of tools to paste into a platform.

use anyhow::Context as _;
use hookgate_core::provider::{self, Provider};
use hookgate_core::tool::catalog::{self, Tool};
use hookgate_core::tool::schema::{self, Definition};

use crate::cli::tools::Schema;
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::output::{line, remark};
use crate::{client, config};

/// What stands in for a public URL where none is known.
const LOCAL: &str = "http://127.0.0.1:8080";

/// Runs the command.
pub(crate) fn run(flags: &Schema, environment: &Environment) -> anyhow::Result<Outcome> {
    let platform = platform(&flags.platform)?;
    let tools = if flags.tool.is_empty() {
        catalog::ALL.to_vec()
    } else {
        flags.tool.iter().map(|it| tool(it)).collect::<anyhow::Result<Vec<_>>>()?
    };
    let tools: Vec<Definition> = tools.into_iter().map(Definition::from).collect();
    let url = url(flags, environment)?;
    let published = schema::for_platform(platform, &tools, &url);
    let published = published.context("the platform calls no tools")?;
    line(serde_json::to_string_pretty(&published).context("cannot print JSON")?)?;
    Ok(Outcome::Done)
}

fn platform(name: &str) -> anyhow::Result<&'static Provider> {
    let calling = || provider::ALL.into_iter().filter(|it| it.calls.is_some());
    calling().find(|it| it.name == name).ok_or_else(|| {
        let names: Vec<&str> = calling().map(|it| it.name).collect();
        let name = hookgate_core::mask::visible(name);
        Usage::new(format!("{name} calls no tools; these do: {}", names.join(", "))).into()
    })
}

fn tool(name: &str) -> anyhow::Result<&'static Tool> {
    catalog::named(name).ok_or_else(|| {
        let names: Vec<&str> = catalog::ALL.iter().map(|it| it.name).collect();
        let name = hookgate_core::mask::visible(name);
        Usage::new(format!("there is no tool {name}; there are {}", names.join(", "))).into()
    })
}

fn url(flags: &Schema, environment: &Environment) -> anyhow::Result<String> {
    if let Some(url) = &flags.url {
        client::parse_url(url)?;
        return Ok(url.clone());
    }
    if let Some(url) = config::configured_url(environment)? {
        return Ok(url);
    }
    remark(format_args!(
        "HOOKGATE_PUBLIC_URL is not set, so {LOCAL} stands in the URLs: give --url with the URL that the platform \
         reaches."
    ));
    Ok(LOCAL.to_owned())
}
