//! The operations of Square's that tools need, each with what it is asked and what is read
//! of its answer.

use hookgate_core::time::Timestamp;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::Session;
use super::error::{Cause, Failure};
use super::ids::Id;
use super::objects::{Booking, Customer, Slot, each, text};
use super::phone::Phone;
use super::time::for_square;

/// Bookings on a page. The stand-in's and Square's own examples take a hundred.
const PAGE: &str = "100";

/// Pages of bookings that are read for one question. No shop has five hundred within a day.
const PAGES_MAX: usize = 5;

/// Customers with one number or address that are looked at: a family, not a directory.
const CUSTOMERS_MAX: usize = 5;

/// What bookings are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Between<'a> {
    /// Whose, if not everybody's.
    pub(crate) customer: Option<&'a str>,
    /// From when.
    pub(crate) from: Timestamp,
    /// Until when.
    pub(crate) until: Timestamp,
}

/// By what a customer is found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By<'a> {
    /// Their number.
    Phone(&'a Phone),
    /// Their address.
    Email(&'a str),
}

impl Session<'_> {
    /// A booking at the shop, or nothing if there is none of this id.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn booking(&self, id: &str) -> Result<Option<Booking>, Failure> {
        let answer = match self.get(&["v2", "bookings", id], &[]).await {
            Ok(answer) => answer,
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let booking = read_booking(&answer)?;
        // Another tenant of the same account, or not what was asked for, is nobody's business.
        let is_ours = booking.location_id == self.account.location.as_str() && booking.id == id;
        Ok(Some(booking).filter(|_| is_ours))
    }

    /// Cancels a booking as it was read.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn cancel(&self, booking: &Booking, key: &str) -> Result<Booking, Failure> {
        let body = json!({ "idempotency_key": key, "booking_version": booking.version });
        let path = ["v2", "bookings", &booking.id, "cancel"];
        read_booking(&self.write(Method::POST, &path, &body).await?)
    }

    /// Changes a booking. `change` holds what is to be different, and the version.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn update(
        &self,
        id: &str,
        change: &Value,
        key: &str,
    ) -> Result<Booking, Failure> {
        let body = json!({ "idempotency_key": key, "booking": change });
        read_booking(&self.write(Method::PUT, &["v2", "bookings", id], &body).await?)
    }

    /// Makes a booking.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn book(&self, booking: &Value, key: &str) -> Result<Booking, Failure> {
        let body = json!({ "idempotency_key": key, "booking": booking });
        read_booking(&self.write(Method::POST, &["v2", "bookings"], &body).await?)
    }

    /// The shop's bookings that begin within a time, whatever became of them.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn bookings(&self, between: Between<'_>) -> Result<Vec<Booking>, Failure> {
        let (from, until) = (for_square(between.from), for_square(between.until));
        let location = self.account.location.as_str();
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
            let mut query = vec![
                ("limit", PAGE),
                ("location_id", location),
                ("start_at_min", &from),
                ("start_at_max", &until),
            ];
            query.extend(between.customer.map(|it| ("customer_id", it)));
            query.extend(cursor.as_deref().map(|it| ("cursor", it)));
            let answer = self.get(&["v2", "bookings"], &query).await?;
            found.extend(each(&answer, "bookings", Booking::read));
            cursor = text(&answer, "cursor");
            if cursor.is_none() {
                break;
            }
        }
        let fits = |it: &Booking| {
            let is_theirs = between.customer.is_none_or(|id| it.customer_id.as_deref() == Some(id));
            is_theirs && it.location_id == location
        };
        found.retain(fits);
        Ok(found)
    }

    /// Free times of a service between two moments, by one member of the team or by any.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn slots(
        &self,
        (variation, member): (&str, Option<&Id>),
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<Slot>, Failure> {
        let mut segment = json!({ "service_variation_id": variation });
        if let (Some(member), Some(segment)) = (member, segment.as_object_mut()) {
            let any = json!({ "any": [member.as_str()] });
            segment.insert("team_member_id_filter".to_owned(), any);
        }
        self.search_slots(json!({
            "start_at_range": { "start_at": for_square(from), "end_at": for_square(until) },
            "location_id": self.account.location.as_str(),
            "segment_filters": [segment],
        }))
        .await
    }

    /// Free times that suit a booking that is to be moved.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn slots_for_move(
        &self,
        booking: &str,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<Slot>, Failure> {
        // Square takes the rest from the booking, and refuses it here.
        self.search_slots(json!({
            "start_at_range": { "start_at": for_square(from), "end_at": for_square(until) },
            "booking_id": booking,
        }))
        .await
    }

    async fn search_slots(&self, filter: Value) -> Result<Vec<Slot>, Failure> {
        let body = json!({ "query": { "filter": filter } });
        let answer = self.ask(&["v2", "bookings", "availability", "search"], &body).await?;
        let location = self.account.location.as_str();
        let mut slots = each(&answer, "availabilities", |it| Slot::read(it, location));
        slots.sort_by_key(|it| it.start_at);
        Ok(slots)
    }

    /// A customer, or nothing if there is none of this id.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn customer(&self, id: &str) -> Result<Option<Customer>, Failure> {
        match self.get(&["v2", "customers", id], &[]).await {
            Ok(answer) => {
                let found = answer.get("customer").and_then(Customer::read);
                Ok(found.filter(|it| it.id == id))
            }
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Customers with exactly this number or address.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn customers(&self, by: By<'_>) -> Result<Vec<Customer>, Failure> {
        let filter = match by {
            By::Phone(phone) => json!({ "phone_number": { "exact": phone.as_str() } }),
            By::Email(email) => json!({ "email_address": { "exact": email } }),
        };
        let body = json!({ "query": { "filter": filter }, "limit": CUSTOMERS_MAX });
        let answer = self.ask(&["v2", "customers", "search"], &body).await?;
        let mut found = each(&answer, "customers", Customer::read);
        // What Square takes for the same number need not be: a caller sees only their own.
        if let By::Phone(phone) = by {
            found.retain(|it| it.phone.as_ref() == Some(phone));
        }
        Ok(found)
    }

    /// Makes a customer.
    ///
    /// # Errors
    ///
    /// A [`Failure`].
    pub(crate) async fn add_customer(&self, customer: &Value) -> Result<Customer, Failure> {
        let answer = self.write(Method::POST, &["v2", "customers"], customer).await?;
        let made = answer.get("customer").and_then(Customer::read);
        made.ok_or(Failure { cause: Cause::Unreadable, doubt: super::error::Doubt::Over })
    }
}

/// The booking in an answer. One that cannot be read has been written nevertheless.
fn read_booking(answer: &Value) -> Result<Booking, Failure> {
    let booking = answer.get("booking").and_then(Booking::read);
    booking.ok_or(Failure { cause: Cause::Unreadable, doubt: super::error::Doubt::Over })
}
