//! `hookgate conversations rebuild`: makes what events tell of conversations anew.

use std::time::Duration;

use anyhow::Context as _;
use hookgate_store::Progress;
use serde_json::{Value, json};

use crate::client::Api;
use crate::command::store::Meter;
use crate::config::Place;
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::output::{counted, line};
use crate::{record, stored};

/// Where a running gateway is asked to.
const PATH: &str = "/api/v1/conversations/rebuild";

/// How often it is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Has the running gateway do it, and follows it to the end; without one, removes them from the
/// folder: the next start makes them.
pub(super) async fn run(environment: &Environment, as_json: bool) -> anyhow::Result<Outcome> {
    let folder = stored::node_folder(environment)?;
    let api = Api::new(environment, &folder)?;
    let is_in_folder = matches!(stored::place(environment, None)?, Place::Folder(_));
    // Beside a database the folder is that of this node, and another node may have done it.
    if is_in_folder && folder.is_dir() && !api.is_there().await {
        hookgate_store::remove_conversations(&folder)
            .with_context(|| format!("cannot change the store in {}", folder.display()))?;
        let sentence = format!(
            "No gateway answers at {}: the conversations in {} are removed, and its next start \
             makes them anew.",
            api.base(),
            folder.display()
        );
        record::done(&json!({ "removed": true }), as_json, sentence)?;
        return Ok(Outcome::Done);
    }
    let mut at = api.post(PATH, &Value::Null).await?;
    let mut meter = Meter::new();
    loop {
        let number = |name: &str| at.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (through, behind) = (number("through"), number("behind"));
        if behind == 0 {
            break;
        }
        let total = through.saturating_add(behind);
        meter.show(Progress { stage: "conversations", done: through, total });
        tokio::time::sleep(ASK_EVERY).await;
        at = api.get(PATH, &[]).await?;
    }
    meter.end();
    if as_json {
        line(&at)?;
    } else {
        let count = at.get("conversations").and_then(Value::as_u64).unwrap_or(0);
        line(format_args!("Made anew: {}.", counted(count, "conversation", "conversations")))?;
    }
    Ok(Outcome::Done)
}
