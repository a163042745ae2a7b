//! Cancelling a booking.

use hookgate_core::tool::Reply;

use super::change::Change;
use super::client::Session;
use super::ids::Id;
use super::objects::Booking;
use super::time;
use crate::permit::Permit;
use crate::work::End;

/// Cancels a booking, once.
pub(crate) async fn run(session: &Session<'_>, id: &Id, permit: &Permit<'_>) -> Result<Reply, End> {
    let booking = session.changeable(id).await?;
    if booking.is_cancelled() {
        let message = "That appointment is already cancelled.";
        return Ok(done(session, &booking, Reply::done("already_cancelled", message)).await);
    }
    session.check_open(&booking)?;
    let booking = session.change(booking, &Change::Cancel, permit.key().await).await?;
    Ok(cancelled(session, &booking).await)
}

/// Whether it is cancelled.
pub(crate) async fn settle(session: &Session<'_>, id: &Id) -> Result<Option<Reply>, End> {
    match session.changed(id.as_str(), &Change::Cancel).await? {
        Some(booking) => Ok(Some(cancelled(session, &booking).await)),
        None => Ok(None),
    }
}

async fn cancelled(session: &Session<'_>, booking: &Booking) -> Reply {
    // What is done is done: without a time zone the sentence has no time.
    let when = session.zone().await.map(|it| time::spoken(booking.start_at, &it, session.work.now));
    let message = when.map_or_else(
        |_| "Your appointment is cancelled.".to_owned(),
        |when| format!("Your appointment on {when} is cancelled."),
    );
    done(session, booking, Reply::done("cancelled", message)).await
}

async fn done(session: &Session<'_>, booking: &Booking, reply: Reply) -> Reply {
    let start_at = time::maybe_written(booking.start_at, session.zone().await.ok().as_ref());
    reply.with("booking_id", booking.id.as_str()).with("start_at", start_at)
}
