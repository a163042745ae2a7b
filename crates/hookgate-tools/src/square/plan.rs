//! What a call wants, once its arguments are understood.

use std::fmt;
use std::sync::Arc;

use hookgate_core::time::Timestamp;
use hookgate_core::tool::{Reply, Tool};

use super::arguments::{Arguments, invalid, missing};
use super::client::Session;
use super::credential::Account;
use super::error::unavailable;
use super::ids::{BOOKING_CHARS_MAX, Id};
use super::slots::past;
use super::time::{NotAMoment, for_square, read_moment};
use super::who::Who;
use super::{availability, cancel, create, customers, list, reschedule, services};
use crate::permit::Permit;
use crate::work::End;

/// A call that is understood.
#[derive(Clone)]
pub(crate) struct Plan {
    /// The account that it was planned with, so that a call asks for its credential once.
    pub(super) account: Arc<Account>,
    wish: Wish,
    key: Option<String>,
}

/// The key may hold a person's number.
impl fmt::Debug for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Plan").field("wish", &self.wish).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
enum Wish {
    Availability(Box<availability::Wanted>),
    Create(Box<create::Wanted>),
    Reschedule(Id, Timestamp),
    Cancel(Id),
    List(list::Wanted),
    Services(Option<String>),
    Customer(Who),
}

/// Understands a call.
///
/// # Errors
///
/// The end of the call: a question, most often.
pub(crate) async fn plan(
    session: &Session<'_>,
    account: &Arc<Account>,
    tool: &'static Tool,
) -> Result<Plan, End> {
    let arguments = Arguments::new(tool, session.work);
    let (wish, key) = match tool.name {
        "bookings_availability" => {
            let wanted = availability::plan(session, &arguments).await?;
            (Wish::Availability(Box::new(wanted)), None)
        }
        "bookings_create" => {
            let wanted = booking(session, &arguments).await?;
            let key = wanted.key();
            (Wish::Create(Box::new(wanted)), Some(key))
        }
        "bookings_reschedule" => {
            let id = arguments.booking()?;
            let start_at = start_at(session, &arguments).await?;
            let key = format!("{id}|{}", for_square(start_at));
            (Wish::Reschedule(id, start_at), Some(key))
        }
        "bookings_cancel" => {
            let id = arguments.booking()?;
            let key = id.to_string();
            (Wish::Cancel(id), Some(key))
        }
        "bookings_list" => (Wish::List(list::plan(session, &arguments)?), None),
        "services_list" => (Wish::Services(arguments.text("search")?), None),
        "customers_find" => {
            let who = customers::plan(session, &arguments)?;
            let key = customers::key(&who);
            (Wish::Customer(who), Some(key))
        }
        // The catalog has these seven; an eighth is not Square's.
        _ => return Err(End::Failed(unavailable())),
    };
    Ok(Plan { account: Arc::clone(account), wish, key })
}

/// The booking that is wanted. What can be asked for without Square is asked for first.
async fn booking(session: &Session<'_>, arguments: &Arguments<'_>) -> Result<create::Wanted, End> {
    let who = Who::read(arguments, session.attested())?;
    let member = arguments.member()?;
    if arguments.text("start_at")?.is_none() {
        return Err(missing("When would you like to come in?"));
    }
    if who.id.is_none() && who.phone.is_none() && who.email.is_none() {
        return Err(missing("What phone number should I book it under?"));
    }
    let start_at = start_at(session, arguments).await?;
    let service = session.service(arguments).await?;
    Ok(create::Wanted { start_at, service, member, who, note: arguments.note() })
}

/// When it is to begin.
async fn start_at(session: &Session<'_>, arguments: &Arguments<'_>) -> Result<Timestamp, End> {
    let text = arguments.text("start_at")?;
    let text = text.ok_or_else(|| missing("What day and time would you like?"))?;
    let zone = session.zone().await?;
    let now = session.work.now;
    let start_at = read_moment(&text, &zone, now).map_err(|why| match why {
        NotAMoment::Unreadable => invalid("What day and time would you like? Please give me both."),
        NotAMoment::NoTime => missing("What time would you like?"),
        NotAMoment::Skipped => invalid(
            "The clocks go forward then, so that time doesn't exist. What other time would you like?",
        ),
    })?;
    if start_at <= now { Err(past()) } else { Ok(start_at) }
}

impl Plan {
    /// What makes two calls the same wish within one conversation; nothing for reads.
    pub(crate) fn business_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Carries it out.
    ///
    /// # Errors
    ///
    /// How else it ended.
    pub(crate) async fn run(
        &self,
        session: &Session<'_>,
        permit: Option<&Permit<'_>>,
    ) -> Result<Reply, End> {
        // Without a key a write could be done twice: none is done.
        let permit = permit.ok_or_else(|| End::Failed(unavailable()));
        match &self.wish {
            Wish::Availability(wanted) => availability::run(session, wanted).await,
            Wish::Create(wanted) => create::run(session, wanted, permit?).await,
            Wish::Reschedule(id, start_at) => {
                reschedule::run(session, id, *start_at, permit?).await
            }
            Wish::Cancel(id) => cancel::run(session, id, permit?).await,
            Wish::List(wanted) => list::run(session, wanted).await,
            Wish::Services(search) => services::run(session, search.as_deref()).await,
            Wish::Customer(who) => customers::run(session, who, permit?).await,
        }
    }

    /// Whether what an earlier reply tells of is still so. What was read never is.
    ///
    /// # Errors
    ///
    /// The end of the call: it cannot be told.
    pub(crate) async fn stands(&self, session: &Session<'_>, earlier: &Reply) -> Result<bool, End> {
        match &self.wish {
            Wish::Availability(_) | Wish::List(_) | Wish::Services(_) => Ok(false),
            Wish::Create(wanted) => {
                let id = earlier.data.get("booking_id").and_then(|it| it.as_str());
                let Some(id) = id.and_then(|it| Id::read(it, BOOKING_CHARS_MAX)) else {
                    return Ok(false);
                };
                let booking = session.booking(id.as_str()).await?;
                Ok(booking.is_some_and(|it| it.is_active() && it.start_at == wanted.start_at))
            }
            Wish::Reschedule(id, start_at) => {
                let booking = session.booking(id.as_str()).await?;
                Ok(booking.is_some_and(|it| it.is_active() && it.start_at == *start_at))
            }
            Wish::Cancel(id) => {
                let booking = session.booking(id.as_str()).await?;
                Ok(booking.is_some_and(|it| it.is_cancelled()))
            }
            Wish::Customer(_) => customers::stands(session, earlier).await,
        }
    }

    /// The reply to an earlier try, if that was done.
    ///
    /// # Errors
    ///
    /// The end of the call: it cannot be told.
    pub(crate) async fn settle(
        &self,
        session: &Session<'_>,
        since: Timestamp,
    ) -> Result<Option<Reply>, End> {
        match &self.wish {
            Wish::Availability(_) | Wish::List(_) | Wish::Services(_) => Ok(None),
            Wish::Create(wanted) => create::settle(session, wanted, since).await,
            Wish::Reschedule(id, start_at) => reschedule::settle(session, id, *start_at).await,
            Wish::Cancel(id) => cancel::settle(session, id).await,
            Wish::Customer(who) => customers::settle(session, who).await,
        }
    }
}
