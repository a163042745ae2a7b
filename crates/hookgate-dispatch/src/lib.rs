//! Deliveries: what is made of a stored event for a destination, and how it is sent.

pub mod render;
