//! Owns a page of the feed as server-sent events, written out once for all who stream it.

use axum::body::Bytes;

use crate::api::changes::cursor::cursor_of;
use crate::api::changes::view::ChangeView;
use crate::core::ids::TenantId;
use crate::store::{Change, ChangePlace, StoreError};

/// Some changes as events, and the place behind them.
#[derive(Debug)]
pub(crate) struct StreamPage {
    events: Bytes,
    end: ChangePlace,
}

impl StreamPage {
    /// Writes changes out: each event's `id` is the cursor behind it, so that a reader who comes back with it misses
    /// nothing.
    pub(crate) fn new(tenant: TenantId, after: ChangePlace, changes: &[Change]) -> Result<Self, StoreError> {
        let mut events = Vec::new();
        for change in changes {
            let head = format!("id: {}\nevent: change\ndata: ", cursor_of(tenant, change.place));
            events.extend_from_slice(head.as_bytes());
            // JSON has no line end of its own, so one line of data holds it.
            serde_json::to_writer(&mut events, &ChangeView::of(change))
                .map_err(|error| StoreError::Broken(error.to_string()))?;
            events.extend_from_slice(b"\n\n");
        }
        let end = changes.last().map_or(after, |last| last.place);
        Ok(Self { events: events.into(), end })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The events.
    pub(crate) fn events(&self) -> Bytes {
        self.events.clone()
    }

    /// The place behind the last event.
    pub(crate) fn end(&self) -> ChangePlace {
        self.end
    }
}
