//! Finding out whose an event is: asking the ledger, deciding, adopting. For everybody who
//! attributes.

use hookgate_core::attribution::{Attributed, Consulted, Quarantined, Readable};

use crate::error::Unavailable;
use crate::ledger::Adopting;
use crate::store::Store;

/// Times that a request is decided anew because its conversation became known meanwhile.
/// Each takes another request of the same conversation in the same microseconds.
const DECIDINGS_MAX: usize = 8;

/// What may be acted on, with the conversation that it makes known: give both to
/// [`Store::append`].
pub type Admitted = (Attributed, Option<Adopting>);

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
        mut readable: Readable,
        mut known: Option<Consulted>,
    ) -> Result<Result<Admitted, Box<Quarantined>>, Unavailable> {
        for _ in 0..DECIDINGS_MAX {
            let consulted = if let Some(known) = known.take() {
                known
            } else {
                let provider = readable.received().source.provider.name;
                self.ledger().consult(provider, readable.claims()).await?
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
        Err(Unavailable::Behind)
    }

    fn is_tenant(&self, id: &str) -> bool {
        self.registry().tenant(id).is_some_and(|it| !it.erasing)
    }
}
