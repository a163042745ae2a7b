//! Canonical.

use crate::canonical::CanonicalEvent;
use crate::canonical::reader::Reader;

/// Fills in what the body says.
pub(super) fn canonical(_reader: &mut Reader<'_>, _event: &mut CanonicalEvent) {}
