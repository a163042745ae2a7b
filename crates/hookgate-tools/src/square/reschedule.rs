//! Moving a booking to another time.

use hookgate_core::time::Timestamp;
use hookgate_core::tool::Reply;
use jiff::tz::TimeZone;

use super::change::Change;
use super::client::Session;
use super::ids::Id;
use super::objects::{Booking, Segment, Slot};
use super::slots::{around, busy_at, not_available, past};
use super::time;
use crate::permit::Permit;
use crate::work::End;

/// Moves a booking, once.
pub(crate) async fn run(
    session: &Session<'_>,
    id: &Id,
    start_at: Timestamp,
    permit: &Permit<'_>,
) -> Result<Reply, End> {
    let zone = session.zone().await?;
    let booking = session.changeable(id).await?;
    if booking.is_active() && booking.start_at == start_at {
        return Ok(done(session, &booking, &zone));
    }
    session.check_open(&booking)?;
    if start_at <= session.work.now {
        return Err(past());
    }
    let range = around(start_at, session.work.now);
    let (slots, busy) =
        tokio::join!(session.slots_for_move(id.as_str(), range), busy_at(session, start_at));
    let (slots, busy) = (slots?, busy?);
    let is_free = |slot: &&Slot| {
        let mut others = busy.iter().filter(|it| it.id != booking.id);
        !others.any(|it| it.is_in_the_way_of(slot))
    };
    let mut free = slots.iter().filter(|it| it.start_at == start_at).filter(is_free);
    // With the same people if they have time: with a deposit Square lets nothing else change.
    let same = free.clone().find(|it| members(&it.segments) == members(&booking.segments));
    let segments = match (same, free.next()) {
        (Some(_), _) => None,
        (None, Some(slot)) => Some(slot.segments.clone()),
        (None, None) => return Err(not_available(session, &slots, start_at, &zone)),
    };
    let change = Change::Move { start_at, segments };
    let booking = session.change(booking, &change, permit.key().await).await?;
    Ok(done(session, &booking, &zone))
}

/// Whether it is there.
pub(crate) async fn settle(
    session: &Session<'_>,
    id: &Id,
    start_at: Timestamp,
) -> Result<Option<Reply>, End> {
    let zone = session.zone().await?;
    let moved = session.changed(id.as_str(), &Change::Move { start_at, segments: None }).await?;
    Ok(moved.map(|it| done(session, &it, &zone)))
}

fn members(segments: &[Segment]) -> Vec<&str> {
    segments.iter().map(|it| it.member.as_str()).collect()
}

fn done(session: &Session<'_>, booking: &Booking, zone: &TimeZone) -> Reply {
    let when = time::spoken(booking.start_at, zone, session.work.now);
    let message = if booking.is_pending() {
        format!("I've asked to move your appointment to {when}. The shop still has to confirm it.")
    } else {
        format!("Your appointment is now on {when}.")
    };
    Reply::done("rescheduled", message)
        .with("booking_id", booking.id.as_str())
        .with("start_at", time::written(booking.start_at, zone))
}
