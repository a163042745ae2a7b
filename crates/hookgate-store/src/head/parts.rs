//! How single values of a head are written.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use hookgate_core::headers::{Headers, Value};
use http::HeaderName;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, SerializeTuple, Serializer};
use uuid::Uuid;

/// Bytes of a fixed count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Octets<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Default for Octets<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl Octets<16> {
    pub(crate) fn uuid(self) -> Uuid {
        Uuid::from_bytes(self.0)
    }
}

impl From<Uuid> for Octets<16> {
    fn from(id: Uuid) -> Self {
        Self(id.into_bytes())
    }
}

impl<const N: usize> Serialize for Octets<N> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(&self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Octets<N> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let bytes = reader.deserialize_bytes(OctetsVisitor)?;
        let count = bytes.len();
        bytes.try_into().map(Self).map_err(|_| de::Error::invalid_length(count, &"other bytes"))
    }
}

/// The sender's address, as 4 or 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Default for Peer {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            IpAddr::V4(peer) => out.serialize_bytes(&peer.octets()),
            IpAddr::V6(peer) => out.serialize_bytes(&peer.octets()),
        }
    }
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let bytes = reader.deserialize_bytes(OctetsVisitor)?;
        if let Ok(octets) = <[u8; 4]>::try_from(bytes.as_slice()) {
            return Ok(Self(Ipv4Addr::from(octets).into()));
        }
        match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(octets) => Ok(Self(Ipv6Addr::from(octets).into())),
            Err(_) => Err(de::Error::invalid_length(bytes.len(), &"4 or 16 bytes")),
        }
    }
}

struct OctetsVisitor;

impl Visitor<'_> for OctetsVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(bytes.to_vec())
    }
}

/// Headers, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderList<'a>(pub(crate) Cow<'a, Headers>);

impl Serialize for HeaderList<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut list = out.serialize_seq(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            list.serialize_element(&Line { name, value })?;
        }
        list.end()
    }
}

struct Line<'a> {
    name: &'a HeaderName,
    value: &'a Value,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Plain(bytes) => {
                let mut line = out.serialize_tuple(2)?;
                line.serialize_element(self.name.as_str())?;
                line.serialize_element(&Slice(bytes))?;
                line.end()
            }
            Value::Hashed { prefix, hash } => {
                let mut line = out.serialize_tuple(3)?;
                line.serialize_element(self.name.as_str())?;
                line.serialize_element(&Slice(prefix))?;
                line.serialize_element(&Slice(hash))?;
                line.end()
            }
        }
    }
}

struct Slice<'a>(&'a [u8]);

impl Serialize for Slice<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for HeaderList<'_> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_seq(HeadersVisitor).map(|headers| Self(Cow::Owned(headers)))
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("headers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Headers, A::Error> {
        /// More than any request has; what a damaged length says is not believed.
        const EXPECTED_MAX: usize = 128;
        let mut headers = Headers::with_capacity(list.size_hint().unwrap_or(0).min(EXPECTED_MAX));
        while let Some(OwnedLine(name, value)) = list.next_element()? {
            headers.push(name, value);
        }
        Ok(headers)
    }
}

struct OwnedLine(HeaderName, Value);

impl<'de> Deserialize<'de> for OwnedLine {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_seq(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = OwnedLine;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a header")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut line: A) -> Result<OwnedLine, A::Error> {
        let name: Cow<'de, str> =
            line.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let name = HeaderName::try_from(&*name).map_err(de::Error::custom)?;
        let OwnedSlice(first) =
            line.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
        let first = Bytes::from(first);
        let value = match line.next_element::<Octets<32>>()? {
            None => Value::Plain(first),
            Some(Octets(hash)) => Value::Hashed { prefix: first, hash },
        };
        Ok(OwnedLine(name, value))
    }
}

struct OwnedSlice(Vec<u8>);

impl<'de> Deserialize<'de> for OwnedSlice {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_bytes(OctetsVisitor).map(Self)
    }
}
