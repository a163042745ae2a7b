//! Changing a booking: whether this caller may, and doing it under its version.

use hookgate_core::time::Timestamp;
use hookgate_core::tool::Reply;
use hookgate_core::tool::settings::Whose;
use http::StatusCode;
use serde_json::{Value, json};

use super::client::Session;
use super::error::{Doubt, Failure, settled, unknown};
use super::ids::Id;
use super::objects::{Booking, Segment};
use super::phone::Phone;
use super::time::for_square;
use crate::work::End;

/// What is to become of a booking.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Nobody comes.
    Cancel,
    /// It begins at another time; with these people, if not with those of before.
    Move {
        /// When.
        start_at: Timestamp,
        /// By whom, if that is to change.
        segments: Option<Vec<Segment>>,
    },
}

impl Change {
    /// Whether that is how a booking is.
    fn is_done(&self, booking: &Booking) -> bool {
        match self {
            Self::Cancel => booking.is_cancelled(),
            Self::Move { start_at, .. } => booking.is_active() && booking.start_at == *start_at,
        }
    }

    /// Asks Square for it, for a booking as it was read.
    async fn write(
        &self,
        session: &Session<'_>,
        booking: &Booking,
        key: &str,
    ) -> Result<Booking, Failure> {
        let Self::Move { start_at, segments } = self else {
            return session.cancel(booking, key).await;
        };
        let mut change = json!({ "version": booking.version, "start_at": for_square(*start_at) });
        if let (Some(segments), Some(change)) = (segments, change.as_object_mut()) {
            let segments: Vec<Value> = segments.iter().map(Segment::to_json).collect();
            change.insert("appointment_segments".to_owned(), segments.into());
        }
        session.update(&booking.id, &change, key).await
    }
}

impl Session<'_> {
    /// Changes a booking. If somebody else has changed it meanwhile it is read once more:
    /// what they did may be the same.
    ///
    /// # Errors
    ///
    /// The end of the call.
    pub(crate) async fn change(
        &self,
        booking: Booking,
        change: &Change,
        key: &str,
    ) -> Result<Booking, End> {
        let first = match change.write(self, &booking, key).await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        if !first.is_stale() {
            return self.unchanged(&booking, change, first).await;
        }
        let again = match self.booking(&booking.id).await {
            Ok(again) => again.ok_or_else(not_found)?,
            Err(_) if first.doubt != Doubt::None => return Err(End::Unknown(unknown())),
            Err(failure) => return Err(failure.end()),
        };
        if change.is_done(&again) {
            return Ok(again);
        }
        self.check_open(&again)?;
        // A body with another version is another request, and the same one is the same.
        let second = if again.version == booking.version { key } else { &format!("{key}-2") };
        match change.write(self, &again, second).await {
            Ok(done) => Ok(done),
            Err(failure) => {
                let doubt = failure.doubt.max(first.doubt);
                self.unchanged(&again, change, Failure { doubt, ..failure }).await
            }
        }
    }

    /// How a change ends that Square did not say yes to.
    async fn unchanged(
        &self,
        booking: &Booking,
        change: &Change,
        failure: Failure,
    ) -> Result<Booking, End> {
        let is_certain = failure.doubt == Doubt::None && !failure.is_key_reused();
        if is_certain && failure.is_stale() {
            return Err(conflict());
        }
        if is_certain && failure.is(StatusCode::NOT_FOUND) {
            return Err(not_found());
        }
        if is_certain && failure.is_refusal() {
            return Err(refused());
        }
        settled(failure, self.changed(&booking.id, change)).await
    }

    /// The booking, if the change was done.
    ///
    /// # Errors
    ///
    /// The end of the call: it cannot be told.
    pub(crate) async fn changed(&self, id: &str, change: &Change) -> Result<Option<Booking>, End> {
        Ok(self.booking(id).await?.filter(|it| change.is_done(it)))
    }

    /// The booking, if it is at the shop and this caller may change it.
    ///
    /// # Errors
    ///
    /// The end of the call.
    pub(crate) async fn changeable(&self, id: &Id) -> Result<Booking, End> {
        let booking = self.booking(id.as_str()).await?.ok_or_else(not_found)?;
        if self.work.settings.bookings_change == Whose::Anyone {
            return Ok(booking);
        }
        // Only what the platform attests counts, and not a number among the arguments.
        let caller = self.attested().ok_or_else(not_yours)?;
        let customer = booking.customer_id.as_deref().ok_or_else(not_yours)?;
        let customer = self.customer(customer).await?;
        let is_theirs = customer.is_some_and(|it| it.phone.as_ref() == Some(&caller));
        if is_theirs { Ok(booking) } else { Err(not_yours()) }
    }

    /// The number that is calling.
    pub(crate) fn attested(&self) -> Option<Phone> {
        self.work.caller.number.as_deref().and_then(Phone::read)
    }

    /// Turns down what cannot be changed any more, or not yet.
    ///
    /// # Errors
    ///
    /// The end of the call, in words.
    pub(crate) fn check_open(&self, booking: &Booking) -> Result<(), End> {
        let (status, message) = match booking.status.as_str() {
            "PENDING" => (
                "pending",
                "The shop hasn't confirmed that appointment yet, so I can't change it. \
                 Please contact the shop directly.",
            ),
            "DECLINED" => {
                ("declined", "The shop declined that appointment, so there's nothing to change.")
            }
            "NO_SHOW" => {
                ("no_show", "That appointment was marked as missed, so I can't change it.")
            }
            _ if booking.is_cancelled() => {
                ("cancelled", "That appointment has been cancelled already.")
            }
            _ if booking.start_at <= self.work.now => {
                ("past", "That appointment is in the past, so I can't change it.")
            }
            _ => return Ok(()),
        };
        Err(End::Refused(Reply::sorry(status, message)))
    }
}

/// There is no such booking at this shop.
pub(crate) fn not_found() -> End {
    End::Refused(Reply::sorry("not_found", "I couldn't find that appointment."))
}

/// The shop has to do it.
pub(crate) fn refused() -> End {
    let message = "I wasn't able to do that here. Please contact the shop directly.";
    End::Refused(Reply::sorry("refused", message))
}

/// It was changed twice while we looked.
fn conflict() -> End {
    let message = "That appointment is being changed right now. Please try again in a moment.";
    End::Failed(Reply::sorry("conflict", message))
}

fn not_yours() -> End {
    let message =
        "I can only change appointments that were made with the number you're calling from.";
    End::Refused(Reply::sorry("not_yours", message))
}
