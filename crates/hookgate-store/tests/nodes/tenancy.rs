//! Whose scope it is.

use hookgate_core::tenant::{Scope, TenantId};

pub(crate) fn only(tenant: &str) -> Scope {
    Scope::Tenant(TenantId::parse(tenant).unwrap())
}
