//! Booking.

use std::fmt;
use std::time::Duration;

use hookgate_core::time::Timestamp;
use hookgate_core::tool::Reply;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::api::Between;
use super::change::refused;
use super::client::Session;
use super::error::{Doubt, Failure, settled};
use super::ids::Id;
use super::objects::{Booking, Segment, Slot};
use super::shop::Service;
use super::slots::{around, busy_at, earlier, later, not_available, past};
use super::time;
use super::who::Who;
use crate::permit::Permit;
use crate::work::End;

/// How far Square's clock may be behind ours, when what it made is looked for.
const SKEW: Duration = Duration::from_mins(1);

/// Customers that are asked for, to find out whose booking it is. More book the same service
/// for the same moment nowhere.
const ASKED_MAX: usize = 5;

/// A booking that is wanted.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) start_at: Timestamp,
    pub(crate) service: Service,
    pub(crate) member: Option<Id>,
    pub(crate) who: Who,
    pub(crate) note: Option<String>,
}

/// A note is a person's.
impl fmt::Debug for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Wanted")
            .field("start_at", &self.start_at)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl Wanted {
    /// The same wish, whatever note is taken and whoever is to do it.
    pub(crate) fn key(&self) -> String {
        let start_at = time::for_square(self.start_at);
        format!("{}|{start_at}|{}", self.service.variation, self.who.key())
    }
}

/// Books, once.
pub(crate) async fn run(
    session: &Session<'_>,
    wanted: &Wanted,
    permit: &Permit<'_>,
) -> Result<Reply, End> {
    if wanted.start_at <= session.work.now {
        return Err(past());
    }
    let range = around(wanted.start_at, session.work.now);
    let service = (wanted.service.variation.as_str(), wanted.member.as_ref());
    let (zone, slots, busy, customer) = tokio::join!(
        session.zone(),
        session.slots(service, range),
        busy_at(session, wanted.start_at),
        session.find(&wanted.who),
    );
    let (zone, mut slots, busy, customer) = (zone?, slots?, busy?, customer?);
    slots.retain(|slot| !busy.iter().any(|it| it.is_in_the_way_of(slot)));
    let slot = slots.iter().find(|it| it.start_at == wanted.start_at);
    let slot = slot.ok_or_else(|| not_available(session, &slots, wanted.start_at, &zone))?;
    let key = permit.key().await;
    let customer = match customer {
        Some(customer) => customer,
        None => session.add(&wanted.who, &format!("{key}-customer")).await?,
    };
    let body = body(session, wanted, slot, &customer.id);
    match session.book(&body, key).await {
        Ok(booking) => Ok(done(session, wanted, &booking, &zone)),
        Err(failure) => {
            let is_certain = failure.doubt == Doubt::None && !failure.is_key_reused();
            if is_certain && failure.is_refusal() {
                return Err(turned_down(session, wanted, &failure, &zone).await);
            }
            // What this call made is not older than the call.
            let found = find(session, wanted, session.work.now, Some(&customer.id));
            let booking = settled(failure, found).await?;
            Ok(done(session, wanted, &booking, &zone))
        }
    }
}

/// The booking that an earlier try made, if it did.
pub(crate) async fn settle(
    session: &Session<'_>,
    wanted: &Wanted,
    since: Timestamp,
) -> Result<Option<Reply>, End> {
    let zone = session.zone().await?;
    let found = find(session, wanted, since, None).await?;
    Ok(found.map(|it| done(session, wanted, &it, &zone)))
}

fn body(session: &Session<'_>, wanted: &Wanted, slot: &Slot, customer: &str) -> Value {
    let segments: Vec<Value> = slot.segments.iter().map(Segment::to_json).collect();
    let mut booking = json!({
        "location_id": session.account.location.as_str(),
        "start_at": time::for_square(wanted.start_at),
        "customer_id": customer,
        "appointment_segments": segments,
    });
    if let (Some(note), Some(booking)) = (&wanted.note, booking.as_object_mut()) {
        booking.insert("customer_note".to_owned(), note.as_str().into());
    }
    booking
}

/// An active booking of the same service for the same moment and person, made since. A new
/// customer is not found by searching yet, so bookings are looked at and not customers.
async fn find(
    session: &Session<'_>,
    wanted: &Wanted,
    since: Timestamp,
    customer: Option<&str>,
) -> Result<Option<Booking>, End> {
    let (from, until) = (wanted.start_at, later(wanted.start_at, Duration::from_secs(1)));
    let mut found = session.bookings(Between { customer, from, until }).await?;
    let since = earlier(since, SKEW);
    found.retain(|it| {
        it.is_active()
            && it.start_at == wanted.start_at
            && it.has_service(&wanted.service.variation)
            && it.created_at.is_none_or(|it| it >= since)
    });
    if customer.is_some() {
        return Ok(found.into_iter().next());
    }
    for booking in found.into_iter().take(ASKED_MAX) {
        let Some(id) = booking.customer_id.as_deref() else { continue };
        if session.customer(id).await?.is_some_and(|it| wanted.who.is(&it)) {
            return Ok(Some(booking));
        }
    }
    Ok(None)
}

/// Square does not want to: because the time is gone, or for a reason of the shop's.
async fn turned_down(
    session: &Session<'_>,
    wanted: &Wanted,
    failure: &Failure,
    zone: &TimeZone,
) -> End {
    let about_customer = failure
        .error()
        .is_some_and(|it| it.has("CUSTOMER_NOT_FOUND") || it.is_about("customer_id"));
    if about_customer {
        let message =
            "I couldn't book with that customer's details. Please contact the shop directly.";
        return End::Refused(Reply::sorry("customer_refused", message));
    }
    let range = around(wanted.start_at, session.work.now);
    let service = (wanted.service.variation.as_str(), wanted.member.as_ref());
    match session.slots(service, range).await {
        Ok(slots) if !slots.iter().any(|it| it.start_at == wanted.start_at) => {
            not_available(session, &slots, wanted.start_at, zone)
        }
        _ => refused(),
    }
}

fn done(session: &Session<'_>, wanted: &Wanted, booking: &Booking, zone: &TimeZone) -> Reply {
    let when = time::spoken(booking.start_at, zone, session.work.now);
    let service = &wanted.service.name;
    let reply = if booking.is_pending() {
        let message =
            format!("I've requested {service} on {when}. The shop still has to confirm it.");
        Reply::done("requested", message)
    } else {
        Reply::done("booked", format!("You're booked for {service} on {when}."))
    };
    let member = booking.segments.first().map(|it| it.member.clone());
    reply
        .with("booking_id", booking.id.as_str())
        .with("start_at", time::written(booking.start_at, zone))
        .with("service", service.as_str())
        .with("team_member_id", member)
        .with("customer_id", booking.customer_id.clone())
}
