//! Finding out whose an event is: asking the ledger, deciding, adopting. For everybody who
//! attributes.

use hookgate_core::attribution::{Attributed, Consulted, Quarantined, Readable};

use crate::error::Unavailable;
use crate::ledger::Adopting;
use crate::receipt::Receipt;
use crate::store::Store;

/// Times that a request is decided anew because its conversation became known meanwhile.
/// Each takes another request of the same conversation in the same microseconds.
const DECIDINGS_MAX: usize = 8;

/// What may be acted on, with the conversation that it makes known: give both to
/// [`Store::append`].
pub type Admitted = (Attributed, Option<Adopting>);

/// What became of a request that somebody has to be asked about.
#[derive(Debug)]
pub enum Settled {
    /// It may be acted on: give both to [`Store::append`].
    Admitted(Box<Attributed>, Option<Adopting>),
    /// Nobody may act on it: give it to [`Store::quarantine`].
    Quarantined(Box<Quarantined>),
    /// Nobody can say now whose it is: it is stored as it came, and that is found out later.
    Deferred(Box<Readable>, Receipt),
}

impl Store {
    /// What is known of a request, if all of it is in memory. With it
    /// [`Self::attribute_by`] waits for nothing, unless somebody else is faster.
    #[must_use]
    pub fn known(&self, readable: &Readable) -> Option<Consulted> {
        let provider = readable.received().source.provider.name;
        self.ledger().consult_cached(provider, readable.claims())
    }

    /// Decides whose an event is. A conversation that it makes known is known to everybody
    /// when this returns, and forgotten again if the event is not stored.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the registry cannot be asked now.
    pub async fn attribute(
        &self,
        readable: Readable,
    ) -> Result<Result<Admitted, Box<Quarantined>>, Unavailable> {
        self.attribute_by(readable, None).await
    }

    /// The same by what [`Self::known`] said of the request just now.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the registry cannot be asked now.
    pub async fn attribute_by(
        &self,
        readable: Readable,
        known: Option<Consulted>,
    ) -> Result<Result<Admitted, Box<Quarantined>>, Unavailable> {
        self.try_attribute(readable, known).await.map_err(|(cause, _)| cause)
    }

    /// The same; what cannot be decided because the database is away is stored undecided,
    /// where there is a spool.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was stored.
    pub async fn attribute_or_defer(
        &self,
        mut readable: Readable,
        mut known: Option<Consulted>,
    ) -> Result<Settled, Unavailable> {
        for _ in 0..DECIDINGS_MAX {
            if !self.is_spooling() {
                match self.try_attribute(readable, known.take()).await {
                    Ok(Ok((event, adopting))) => {
                        return Ok(Settled::Admitted(Box::new(event), adopting));
                    }
                    Ok(Err(quarantined)) => return Ok(Settled::Quarantined(quarantined)),
                    Err((Unavailable::Failed, it)) if self.lose() => readable = *it,
                    Err((cause, _)) => return Err(cause),
                }
                continue;
            }
            known = None;
            let provider = readable.received().source.provider.name;
            if let Some(recalled) = self.ledger().recall(provider, readable.claims()) {
                let decided = readable.decide(&recalled);
                let owner = decided.decision().tenant();
                let is_there = owner.is_none_or(|it| self.is_tenant(it.as_str()));
                if is_there && decided.decision().adoption().is_none() {
                    return Ok(match decided.conclude() {
                        Ok(event) => Settled::Admitted(Box::new(event), None),
                        Err(quarantined) => Settled::Quarantined(quarantined),
                    });
                }
                readable = decided.undecided();
            }
            if let Some(receipt) = self.defer(&readable).await? {
                return Ok(Settled::Deferred(Box::new(readable), receipt));
            }
        }
        Err(Unavailable::Behind)
    }

    /// The request comes back with the error.
    async fn try_attribute(
        &self,
        mut readable: Readable,
        mut known: Option<Consulted>,
    ) -> Result<Result<Admitted, Box<Quarantined>>, (Unavailable, Box<Readable>)> {
        for _ in 0..DECIDINGS_MAX {
            let consulted = if let Some(known) = known.take() {
                known
            } else {
                let provider = readable.received().source.provider.name;
                match self.ledger().consult(provider, readable.claims()).await {
                    Ok(consulted) => consulted,
                    Err(cause) => return Err((cause, Box::new(readable))),
                }
            };
            let decided = readable.decide(&consulted);
            let owner = decided.decision().tenant();
            if owner.is_some_and(|it| !self.is_tenant(it.as_str())) {
                // The source or the URL token still names who is not there any more.
                return Ok(decided.disowned().conclude().map(|event| (event, None)));
            }
            let Some(adoption) = decided.decision().adoption() else {
                return Ok(decided.conclude().map(|event| (event, None)));
            };
            match self.ledger().adopt(adoption) {
                Ok(adopting) => {
                    return Ok(decided.conclude().map(|event| (event, Some(adopting))));
                }
                Err(_) => readable = decided.undecided(),
            }
        }
        Err((Unavailable::Behind, Box::new(readable)))
    }

    fn is_tenant(&self, id: &str) -> bool {
        self.registry().tenant(id).is_some_and(|it| !it.erasing)
    }
}
