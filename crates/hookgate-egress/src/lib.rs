//! The one way out: HTTP requests to where others say, under the operator's rules.
//!
//! Whatever Hookgate sends (deliveries, tool calls, questions to secret stores) and fetches
//! (recordings) leaves through [`Egress::send`] and [`Egress::begin`]. What holds there:
//!
//! - **The address decides, not the name.** With [`Reach::Public`] each address is judged by
//!   [`hookgate_core::address::Policy`] when the connection is made, after the name is
//!   resolved, so a name that changes its mind between a check and its use gains nothing.
//! - **One hop.** No redirect is followed and no proxy of the environment is used: both lead
//!   to an address that nobody judged.
//! - **Everything ends.** A deadline covers connecting, sending and reading; an answer is
//!   read up to a limit; of one that comes in pieces ([`Incoming`]) the reader counts them.
//! - **Nothing leaks.** Errors and `Debug` name a host at most: a path or a query may hold a
//!   token.

mod call;
mod client;
mod error;
mod names;
mod roots;

pub use self::call::{Answer, Call, Incoming, Reach, origin};
pub use self::client::{Egress, Settings};
pub use self::error::{EgressError, Unusable};
pub use reqwest::Url;
