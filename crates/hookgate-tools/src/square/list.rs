//! Somebody's coming bookings.

use std::time::Duration;

use hookgate_core::time::Timestamp;
use hookgate_core::tool::Reply;
use hookgate_core::tool::settings::Whose;
use serde_json::{Value, json};

use super::api::{Between, By};
use super::arguments::{Arguments, missing};
use super::client::Session;
use super::error::Failure;
use super::ids::Id;
use super::objects::Booking;
use super::phone::Phone;
use super::shop::Service;
use super::slots::later;
use super::time;
use super::words::listed;
use crate::work::End;

/// A part of the time that is looked at. Square looks no further at once than 31 days.
const WINDOW: Duration = Duration::from_hours(30 * 24);

/// Bookings that are listed, unless the call says how many.
const LIMIT: i64 = 10;

/// Bookings that are listed at most: more nobody can listen to.
const LIMIT_MAX: i64 = 20;

/// Bookings that the sentence names.
const SPOKEN_MAX: usize = 3;

/// Customers with one number whose bookings are listed: a family.
const CUSTOMERS_MAX: usize = 3;

/// Whose bookings are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    phone: Option<Phone>,
    customer: Option<Id>,
    limit: usize,
}

/// Reads what is wanted, if this caller may have it.
pub(crate) fn plan(session: &Session<'_>, arguments: &Arguments<'_>) -> Result<Wanted, End> {
    let (phone, customer) = (arguments.phone()?, arguments.customer()?);
    let limit = arguments.count("limit", LIMIT_MAX)?.unwrap_or(LIMIT);
    let limit = usize::try_from(limit).unwrap_or(1);
    let attested = session.attested();
    let phone = match session.work.settings.bookings_list {
        Whose::Caller => {
            let attested = attested.ok_or_else(not_allowed)?;
            if phone.is_some_and(|it| it != attested) {
                return Err(not_allowed());
            }
            Some(attested)
        }
        Whose::Anyone if customer.is_some() => phone,
        Whose::Anyone => phone.or(attested),
    };
    if phone.is_none() && customer.is_none() {
        return Err(missing("What phone number are the appointments under?"));
    }
    Ok(Wanted { phone, customer, limit })
}

/// Lists them.
pub(crate) async fn run(session: &Session<'_>, wanted: &Wanted) -> Result<Reply, End> {
    let (zone, services, customers) =
        tokio::join!(session.zone(), session.services(), customers(session, wanted));
    // Without the catalog an appointment is still an appointment.
    let (zone, services, customers) = (zone?, services.ok(), customers?);
    let mut found = Vec::new();
    for customer in customers.iter().take(CUSTOMERS_MAX) {
        found.extend(coming(session, customer).await?);
    }
    found.sort_by(|a, b| (a.start_at, &a.id).cmp(&(b.start_at, &b.id)));
    found.dedup_by(|a, b| a.id == b.id);
    found.truncate(wanted.limit);
    if found.is_empty() {
        let message = "I don't see any upcoming appointments.";
        return Ok(Reply::done("none", message).with("bookings", Vec::<Value>::new()));
    }
    let named = |booking: &Booking| {
        let services: &[Service] = services.as_ref().map_or(&[], |it| it.as_slice());
        let service = services.iter().find(|it| booking.has_service(&it.variation));
        service.map(|it| it.name.clone())
    };
    let spoken = |start_at| time::spoken(start_at, &zone, session.work.now);
    let sentences: Vec<String> = found
        .iter()
        .take(SPOKEN_MAX)
        .map(|it| match named(it) {
            Some(service) => format!("{service} on {}", spoken(it.start_at)),
            None => spoken(it.start_at),
        })
        .collect();
    let sentences = listed(&sentences, "and");
    let message = match found.len() {
        1 => format!("You have one upcoming appointment: {sentences}."),
        count if count <= SPOKEN_MAX => {
            format!("You have {count} upcoming appointments: {sentences}.")
        }
        count => format!("You have {count} upcoming appointments. The next are {sentences}."),
    };
    let bookings: Vec<Value> = found
        .iter()
        .map(|it| {
            json!({
                "booking_id": it.id,
                "start_at": time::written(it.start_at, &zone),
                "spoken": spoken(it.start_at),
                "service": named(it),
                "status": if it.is_pending() { "pending" } else { "confirmed" },
            })
        })
        .collect();
    Ok(Reply::done("found", message).with("bookings", bookings))
}

/// The ids of those whose bookings are listed.
async fn customers(session: &Session<'_>, wanted: &Wanted) -> Result<Vec<String>, End> {
    let Some(phone) = &wanted.phone else {
        return Ok(wanted.customer.iter().map(ToString::to_string).collect());
    };
    let found = session.customers(By::Phone(phone)).await?;
    let ids = found.into_iter().map(|it| it.id);
    let Some(customer) = &wanted.customer else { return Ok(ids.collect()) };
    // A customer's id is a claim of the model's. Only the number makes it theirs.
    let theirs: Vec<String> = ids.filter(|it| it == customer.as_str()).collect();
    if theirs.is_empty() { Err(not_allowed()) } else { Ok(theirs) }
}

/// What a customer has within three windows from now.
async fn coming(session: &Session<'_>, customer: &str) -> Result<Vec<Booking>, Failure> {
    let now = session.work.now;
    let window = |n: u32| {
        let from = later(now, WINDOW.saturating_mul(n));
        session.bookings(between(customer, from))
    };
    let (first, second, third) = tokio::join!(window(0), window(1), window(2));
    let mut found = first?;
    found.extend(second?);
    found.extend(third?);
    found.retain(|it| it.is_active() && it.start_at > now);
    Ok(found)
}

fn between(customer: &str, from: Timestamp) -> Between<'_> {
    Between { customer: Some(customer), from, until: later(from, WINDOW) }
}

fn not_allowed() -> End {
    let message = "I can only look up appointments for the number you're calling from.";
    End::Refused(Reply::sorry("not_allowed", message))
}
