//! Deliveries: what is made of a stored event for a destination, and how it is sent.

pub mod render;

mod metrics;
mod retry_after;
mod send;

pub use self::metrics::DeliveryMetrics;
