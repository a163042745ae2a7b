//! Values of columns that are more than a database's own types.

use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;

use crate::sql::{Error, Row, ValueRef};

/// The number of a row, by which pages are cut.
pub(crate) fn number(row: &Row<'_>) -> Result<u64, Error> {
    whole(row, "n")
}

/// A number that is never negative.
pub(crate) fn whole(row: &Row<'_>, column: &str) -> Result<u64, Error> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

pub(crate) fn time(row: &Row<'_>, column: &str) -> Result<Timestamp, Error> {
    row.get(column).map(Timestamp::from_millis)
}

pub(crate) fn time_if_any(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, Error> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(crate) fn tenant(row: &Row<'_>, column: &str) -> Result<TenantId, Error> {
    tenant_if_any(row, column)?.ok_or_else(|| Error::unreadable(column))
}

pub(crate) fn tenant_if_any(row: &Row<'_>, column: &str) -> Result<Option<TenantId>, Error> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => {
            let id = value.as_str().ok().and_then(|it| TenantId::parse(it).ok());
            id.map(Some).ok_or_else(|| Error::unreadable(column))
        }
    }
}

pub(crate) fn kind(row: &Row<'_>, column: &str) -> Result<ClaimKind, Error> {
    let name = row.get_ref(column)?.as_str()?;
    ClaimKind::named(name).ok_or_else(|| Error::unreadable(column))
}
