//! The advisory locks of PostgreSQL that nodes share, in the order in which whoever needs
//! several takes them. The numbers are letters, so that who looks at `pg_locks` can tell them
//! from those of other programs.

/// Of the node that erases: as long as its connection lives. (`HKGE`.)
pub(crate) const ERASER_LOCK: i64 = 0x484b_4745;

/// Of whoever changes the registry: one at a time, over all nodes, as in SQLite. (`HKGR`.)
pub(crate) const REGISTRY_LOCK: i64 = 0x484b_4752;

/// Of who folds conversations, and of who erases what is folded. (`HKGF`.)
pub(crate) const FOLD_LOCK: i64 = 0x484b_4746;

/// Of who appends events, or makes conversations known with them. (`hkge`.)
pub(crate) const EVENTS_LOCK: i64 = 0x686b_6765;
