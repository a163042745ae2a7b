//! The rules of Hookgate: schemes, providers, parsing, attribution.
//!
//! Nothing here asks a clock, draws a random number, reads the environment or touches a
//! file or a socket: what a function needs comes as an argument, so the same call gives
//! the same answer for ever.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod address;
pub mod alert;
pub mod attribution;
pub mod canonical;
pub mod conversation;
pub mod delivery;
pub mod diagnose;
pub mod digest;
pub mod event;
pub mod headers;
pub mod json;
pub mod mask;
pub mod named;
pub mod provider;
pub mod providers;
pub mod received;
pub mod scheme;
pub mod secret;
pub mod sign;
pub mod sound;
pub mod source;
pub mod standard_webhooks;
pub mod tenant;
pub mod time;
pub mod tool;
pub mod verify;
