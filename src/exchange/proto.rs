//! The wire format of Protocol Buffers, as far as ONNX files need it: messages of varints, 32-bit numbers and bytes.

/// A message being written.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn new() -> Message {
        Message::default()
    }

    fn varint(&mut self, mut x: u64) {
        while x >= 0x80 {
            self.0.push(x as u8 | 0x80);
            x >>= 7;
        }
        self.0.push(x as u8);
    }

    fn tag(&mut self, field: u32, wire: u64) {
        self.varint(u64::from(field) << 3 | wire);
    }

    /// A number; negative ones as two's complement.
    #[must_use]
    pub fn int(mut self, field: u32, x: i64) -> Message {
        self.tag(field, 0);
        self.varint(x as u64);
        self
    }

    #[must_use]
    pub fn float(mut self, field: u32, x: f32) -> Message {
        self.tag(field, 5);
        self.0.extend(x.to_le_bytes());
        self
    }

    #[must_use]
    pub fn bytes(mut self, field: u32, x: &[u8]) -> Message {
        self.tag(field, 2);
        self.varint(x.len() as u64);
        self.0.extend(x);
        self
    }

    #[must_use]
    pub fn text(self, field: u32, x: &str) -> Message {
        self.bytes(field, x.as_bytes())
    }

    #[must_use]
    pub fn message(self, field: u32, x: Message) -> Message {
        self.bytes(field, &x.0)
    }

    #[must_use]
    pub fn each<T>(self, items: impl IntoIterator<Item = T>, add: impl Fn(Message, T) -> Message) -> Message {
        items.into_iter().fold(self, add)
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's own description.
    #[test]
    fn messages_are_those_of_the_specification() {
        assert_eq!(Message::new().int(1, 150).finish(), [0x08, 0x96, 0x01]);
        let text = Message::new().text(2, "testing");
        assert_eq!(text.finish(), [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        let inner = Message::new().message(3, Message::new().int(1, 150));
        assert_eq!(inner.finish(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::new().int(1, -2).finish().len(), 11);
        assert_eq!(Message::new().float(1, 1.0).finish(), [0x0d, 0, 0, 0x80, 0x3f]);
    }
}
