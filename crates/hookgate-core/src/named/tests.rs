//! Names and their options.
