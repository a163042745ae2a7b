//! Reads server-sent events off the bytes of an answer.

use std::collections::VecDeque;

/// The largest message, in bytes: an event with headers and a body of 256 KiB in base64 has
/// half a megabyte.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One message. A comment alone has none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The place behind it.
    pub(crate) id: Option<String>,
    /// Its kind.
    pub(crate) event: String,
    /// Its text.
    pub(crate) data: String,
}

/// What came so far.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    line: Vec<u8>,
    message: Message,
    ready: VecDeque<Message>,
}

impl Messages {
    /// Takes the next bytes; false if a message is larger than any may be.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while let Some(end) = bytes.iter().position(|it| *it == b'\n') {
            let (line, rest) = bytes.split_at_checked(end).unwrap_or_default();
            self.line.extend_from_slice(line);
            bytes = rest.strip_prefix(b"\n").unwrap_or_default();
            let line = std::mem::take(&mut self.line);
            self.take_line(&String::from_utf8_lossy(&line));
        }
        self.line.extend_from_slice(bytes);
        self.line.len().saturating_add(self.message.data.len()) <= MESSAGE_BYTES_MAX
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    fn take_line(&mut self, line: &str) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return self.ready.push_back(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.message.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // Comments, and what is not used here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_in_pieces_of_every_size() {
        let text = "retry: 1000\nid: a\nevent: hello\ndata: {}\n\n: here\nid: b\n\nevent:event\r\n\
                    data: 1\r\ndata:2\r\n\r\nevent: cut";
        let message = |id: Option<&str>, event: &str, data: &str| Message {
            id: id.map(str::to_owned),
            event: event.to_owned(),
            data: data.to_owned(),
        };
        let expected = [
            message(Some("a"), "hello", "{}"),
            message(Some("b"), "", ""),
            message(None, "event", "1\n2"),
        ];
        for size in 1..=text.len() {
            let mut messages = Messages::default();
            let mut read = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                assert!(messages.feed(piece));
                read.extend(std::iter::from_fn(|| messages.next()));
            }
            assert_eq!(read, expected, "by {size}");
        }
    }

    #[test]
    fn a_message_without_an_end_is_refused() {
        let mut messages = Messages::default();
        assert!(messages.feed(&vec![b'x'; MESSAGE_BYTES_MAX]));
        assert!(!messages.feed(b"x"));
    }
}
