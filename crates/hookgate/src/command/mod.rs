//! One file a command.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod binding;
pub(crate) mod conversations;
pub(crate) mod credential;
pub(crate) mod deliveries;
pub(crate) mod destination;
pub(crate) mod dev;
pub(crate) mod doctor;
mod erasure;
pub(crate) mod events;
pub(crate) mod init;
pub(crate) mod key;
mod limits;
pub(crate) mod listen;
pub(crate) mod rejections;
pub(crate) mod secret;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod sign;
pub(crate) mod source;
pub(crate) mod store;
pub(crate) mod tenant;
pub(crate) mod tool_calls;
pub(crate) mod tools;
pub(crate) mod verify;
pub(crate) mod violations;
