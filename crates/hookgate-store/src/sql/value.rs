//! Values on their way to PostgreSQL and back.

use std::error::Error;

use bytes::BytesMut;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use rusqlite::types::{ToSqlOutput, ValueRef};

type Fault = Box<dyn Error + Sync + Send>;

/// A value for a placeholder, of whatever type PostgreSQL finds that it has.
#[derive(Debug)]
pub(crate) struct Bound<'a>(ToSqlOutput<'a>);

impl<'a> Bound<'a> {
    pub(crate) fn of(value: &'a dyn rusqlite::ToSql) -> Result<Self, rusqlite::Error> {
        value.to_sql().map(Self)
    }

    fn value(&self) -> Result<ValueRef<'_>, Fault> {
        match &self.0 {
            ToSqlOutput::Borrowed(it) => Ok(*it),
            ToSqlOutput::Owned(it) => Ok(ValueRef::from(it)),
            _ => Err("a value of another kind".into()),
        }
    }
}

impl ToSql for Bound<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match self.value()? {
            ValueRef::Null => Ok(IsNull::Yes),
            ValueRef::Integer(it) => match *of {
                Type::INT8 => it.to_sql(of, out),
                Type::INT4 => i32::try_from(it)?.to_sql(of, out),
                Type::INT2 => i16::try_from(it)?.to_sql(of, out),
                Type::BOOL => (it != 0).to_sql(of, out),
                _ => Err("a number for something else".into()),
            },
            ValueRef::Real(it) if *of == Type::FLOAT8 => it.to_sql(of, out),
            ValueRef::Text(it) if <&str as ToSql>::accepts(of) => {
                let text = std::str::from_utf8(it)?;
                if text.contains('\0') {
                    // PostgreSQL keeps no text that has one.
                    return text.replace('\0', "\u{fffd}").to_sql(of, out);
                }
                text.to_sql(of, out)
            }
            ValueRef::Blob(it) if *of == Type::BYTEA => it.to_sql(of, out),
            // Both have 16 bytes, as they are.
            ValueRef::Blob(it) if *of == Type::UUID && it.len() == 16 => {
                out.extend_from_slice(it);
                Ok(IsNull::No)
            }
            ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => {
                Err("a value for something else".into())
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        // What fits is known with the value.
        true
    }

    to_sql_checked!();
}

/// What stands in a column, in the types of SQLite.
pub(crate) fn read(row: &postgres::Row, place: usize) -> Result<ValueRef<'_>, postgres::Error> {
    let raw: Option<Raw<'_>> = row.try_get(place)?;
    Ok(raw.map_or(ValueRef::Null, |it| it.0))
}

struct Raw<'a>(ValueRef<'a>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(of: &Type, bytes: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self(match *of {
            Type::INT8 => ValueRef::Integer(i64::from_sql(of, bytes)?),
            Type::INT4 => ValueRef::Integer(i32::from_sql(of, bytes)?.into()),
            Type::INT2 => ValueRef::Integer(i16::from_sql(of, bytes)?.into()),
            Type::BOOL => ValueRef::Integer(bool::from_sql(of, bytes)?.into()),
            Type::FLOAT8 => ValueRef::Real(f64::from_sql(of, bytes)?),
            Type::BYTEA | Type::UUID => ValueRef::Blob(bytes),
            _ if <&str as FromSql>::accepts(of) => ValueRef::Text(bytes),
            _ => return Err("a type that nothing is read as".into()),
        }))
    }

    fn accepts(of: &Type) -> bool {
        let known =
            [Type::INT8, Type::INT4, Type::INT2, Type::BOOL, Type::FLOAT8, Type::BYTEA, Type::UUID];
        known.contains(of) || <&str as FromSql>::accepts(of)
    }
}
