//! Bodies that no provider sends.
