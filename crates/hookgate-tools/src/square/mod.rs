//! Bookings with Square.
