//! Tool calls: who may call what, once, in time; and the connectors that carry it out.

mod budget;
mod square;
mod work;
