//! What fits into a message: the server counts headers and body together.

use async_nats::HeaderMap;

use super::Nats;

/// Room for the protocol's own lines, and for the headers of a batch.
const ROOM: usize = 1_024;

/// Bytes of these headers on the wire.
pub fn headers_len(headers: &HeaderMap) -> usize {
    let values = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    values.map(|(name, value)| AsRef::<str>::as_ref(name).len() + value.as_str().len() + ": \r\n".len()).sum()
}

impl Nats {
    /// The largest message that the server takes, in bytes.
    pub fn max_payload(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// The largest body that fits beside these headers.
    pub fn room_for_body(&self, headers: &HeaderMap) -> usize {
        self.max_payload().saturating_sub(headers_len(headers) + ROOM)
    }
}
