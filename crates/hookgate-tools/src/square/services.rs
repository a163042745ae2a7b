//! What can be booked.

use hookgate_core::tool::Reply;
use serde_json::{Value, json};

use super::client::Session;
use super::shop::Service;
use super::words::{duration, even, listed, price};
use crate::work::End;

/// Services that are told at most. More would fill a model's memory.
const LISTED_MAX: usize = 50;

/// Services that the sentence names.
const SPOKEN_MAX: usize = 6;

/// Lists the services whose names hold all of these words.
pub(crate) async fn run(session: &Session<'_>, search: Option<&str>) -> Result<Reply, End> {
    let services = session.services().await?;
    let words = search.map(even).unwrap_or_default();
    let matches = |it: &&Service| words.split(' ').all(|word| even(&it.name).contains(word));
    let found: Vec<&Service> = services.iter().filter(matches).collect();
    if found.is_empty() {
        let message = if words.is_empty() {
            "There is nothing that can be booked by phone right now."
        } else {
            "I couldn't find a service like that."
        };
        return Ok(Reply::done("none", message).with("services", Vec::<Value>::new()));
    }
    let names: Vec<String> = found.iter().take(SPOKEN_MAX).map(|it| spoken(it)).collect();
    let names = listed(&names, "and");
    let message = if found.len() > SPOKEN_MAX {
        format!("We offer {} services, such as {names}.", found.len())
    } else {
        format!("We offer {names}.")
    };
    let services: Vec<Value> = found
        .iter()
        .take(LISTED_MAX)
        .map(|it| {
            json!({
                "service_id": it.variation,
                "name": it.name,
                "minutes": it.minutes,
                "price": it.price.as_ref().map(|(cents, currency)| price(*cents, currency)),
            })
        })
        .collect();
    Ok(Reply::done("found", message).with("services", services))
}

/// "Haircut (30 minutes, $35)", "Trim (Short): 15 minutes".
fn spoken(service: &Service) -> String {
    let minutes = service.minutes.filter(|it| *it > 0).map(duration);
    let price = service.price.as_ref().map(|(cents, currency)| price(*cents, currency));
    let facts: Vec<String> = minutes.into_iter().chain(price).collect();
    if facts.is_empty() {
        return service.name.clone();
    }
    let facts = facts.join(", ");
    if service.name.ends_with(')') {
        return format!("{}: {facts}", service.name);
    }
    format!("{} ({facts})", service.name)
}
