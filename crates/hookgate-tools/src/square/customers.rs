//! Finding a customer, and making one if there is none.

use hookgate_core::tool::Reply;
use hookgate_core::tool::settings::Whose;

use super::arguments::{Arguments, missing};
use super::client::Session;
use super::ids::{Id, OTHER_CHARS_MAX};
use super::objects::Customer;
use super::phone::Phone;
use super::who::Who;
use crate::permit::Permit;
use crate::work::End;

/// Reads who is wanted. With an address and no number, the number that is calling may be
/// somebody else's.
pub(crate) fn plan(session: &Session<'_>, arguments: &Arguments<'_>) -> Result<Who, End> {
    let caller = session.attested().filter(|_| arguments.email().is_ok_and(|it| it.is_none()));
    let who = Who { id: None, ..Who::read(arguments, caller)? };
    if who.phone.is_none() && who.email.is_none() {
        return Err(missing("What phone number or email address should I look for?"));
    }
    Ok(who)
}

/// What makes two calls the same wish: the same person, whatever they are called.
pub(crate) fn key(who: &Who) -> String {
    let phone = who.phone.as_ref().map_or("", Phone::as_str);
    format!("{phone}|{}", who.email.as_deref().unwrap_or_default().to_lowercase())
}

/// Finds or makes the customer.
pub(crate) async fn run(
    session: &Session<'_>,
    who: &Who,
    permit: &Permit<'_>,
) -> Result<Reply, End> {
    if let Some(customer) = session.find(who).await? {
        return Ok(found(session, who, &customer));
    }
    let Some(name) = &who.name else {
        // No success: with a name the same call does something else.
        let message = "I couldn't find you in our records. What name should I put down?";
        return Err(End::Refused(Reply::sorry("not_found", message)));
    };
    let customer = session.add(who, permit.key().await).await?;
    let message = format!("I've added {name} to our records.");
    Ok(Reply::done("created", message).with("customer_id", customer.id))
}

/// The customer, if there is one now.
pub(crate) async fn settle(session: &Session<'_>, who: &Who) -> Result<Option<Reply>, End> {
    let customer = session.find(who).await?;
    Ok(customer.map(|it| found(session, who, &it)))
}

/// Whether the customer whom an earlier reply names is still there.
pub(crate) async fn stands(session: &Session<'_>, earlier: &Reply) -> Result<bool, End> {
    let id = earlier.data.get("customer_id").and_then(|it| it.as_str());
    let Some(id) = id.and_then(|it| Id::read(it, OTHER_CHARS_MAX)) else { return Ok(false) };
    Ok(session.customer(id.as_str()).await?.is_some())
}

/// Whose name is told: to nobody but those themselves, where their bookings are not either.
fn found(session: &Session<'_>, who: &Who, customer: &Customer) -> Reply {
    let is_caller = who.phone.is_some() && who.phone == session.attested();
    let is_open = session.work.settings.bookings_list == Whose::Anyone;
    let name = Some(&customer.name).filter(|it| !it.is_empty() && (is_caller || is_open));
    let reply = match name {
        Some(name) => Reply::done("found", format!("I found {name} in our records."))
            .with("name", name.as_str()),
        None => Reply::done("found", "I found you in our records."),
    };
    reply.with("customer_id", customer.id.as_str())
}
