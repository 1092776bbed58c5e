//! What the server tells of a message that it pushes, in the subject for its acknowledgement.

/// The place of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Its number in the stream.
    pub(super) sequence: u64,
    /// Its number among those that this reader was pushed.
    pub(super) number: u64,
    /// When it was stored, in nanoseconds since 1970, by the server's clock.
    pub(super) stored_ns: i128,
    /// How many more there are for this reader.
    pub(super) pending: u64,
}

impl Delivery {
    /// Reads `$JS.ACK.stream.consumer.deliveries.sequence.number.time.pending`, or the same with
    /// domain and account before the stream, and perhaps more at the end.
    pub(super) fn parse(subject: &str) -> Option<Self> {
        let parts = subject.strip_prefix("$JS.ACK.")?.split('.');
        let skipped = if parts.clone().count() == 7 { 3 } else { 5 };
        let mut parts = parts.skip(skipped);
        let mut number = || parts.next()?.parse().ok();
        let (sequence, delivered) = (number()?, number()?);
        let stored_ns = parts.next()?.parse().ok()?;
        let pending = parts.next()?.parse().ok()?;
        Some(Self { sequence, number: delivered, stored_ns, pending })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let expected = Delivery { sequence: 7, number: 3, stored_ns: 1_700, pending: 9 };
        for text in [
            "$JS.ACK.S.C.1.7.3.1700.9",
            "$JS.ACK._.hash.S.C.1.7.3.1700.9",
            "$JS.ACK.hub.hash.S.C.1.7.3.1700.9.random",
        ] {
            assert_eq!(Delivery::parse(text).as_ref(), Some(&expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for text in ["", "$JS.ACK.", "$JS.ACK.S.C.1.7.3.1700", "$JS.ACK.S.C.1.a.3.1700.9", "a.b"] {
            assert_eq!(Delivery::parse(text), None, "{text}");
        }
    }
}
