//! One file a provider.

pub mod elevenlabs;
pub mod mightycall;
pub mod retell;
pub mod tawk;
pub mod vapi;
