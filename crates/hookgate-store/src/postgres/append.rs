//! The way in: one batch of this node after the other, each a transaction.

use std::fs;
use std::io;

use hookgate_core::attribution::{Attributed, Quarantined};
use hookgate_core::received::Blob;

use super::{Node, absent};
use crate::blobs::BlobWriter;
use crate::error::Unavailable;
use crate::ledger::Adopting;
use crate::receipt::Receipt;

impl Node {
    pub(crate) fn admit(&self, _body_bytes: u64) -> Result<(), Unavailable> {
        Err(Unavailable::Failed)
    }

    pub(crate) async fn append(
        &self,
        _event: &Attributed,
        _adopting: Option<Adopting>,
    ) -> Result<Receipt, Unavailable> {
        Err(Unavailable::Failed)
    }

    pub(crate) async fn quarantine(&self, _event: &Quarantined) -> Result<Receipt, Unavailable> {
        Err(Unavailable::Failed)
    }

    pub(crate) async fn begin_blob(&self) -> Result<BlobWriter, Unavailable> {
        Err(Unavailable::Failed)
    }

    pub(crate) fn discard_blob(&self, _blob: &Blob) {}

    pub(crate) fn open_blob(&self, _blob: &Blob) -> io::Result<fs::File> {
        Err(absent())
    }
}
