//! One file a command.

pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod init;
mod limits;
pub(crate) mod rejections;
pub(crate) mod secret;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod sign;
pub(crate) mod store;
pub(crate) mod verify;
