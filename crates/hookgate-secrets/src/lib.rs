//! Sealed credentials and secret backends.
