//! Subjects: where in a stream the entries of a channel are.
//!
//! `PREFIX.TOKEN.KIND.NAME`. The token is made with the stream, so that nothing that is meant for
//! one stream is stored by another that took its place. Kinds have subjects of their own, so that
//! many touches of a channel do not push its events out of the stream. The name is written with
//! percent signs where NATS gives a character a meaning, or might. Names that become too long so
//! are replaced by `=` and their SHA-256, and stand in a header in full.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::channel::Channel;

/// All but what stands for itself in every part of NATS, and in every tool around it.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b':');

/// The longest written name in a subject, in bytes: servers take no more than 4 KiB for a whole
/// line of their protocol, and keep an index of all subjects in memory.
const MAX_BYTES: usize = 200;

/// A channel's name for a subject, and in full if that has only its hash.
pub(super) fn write(channel: &Channel) -> (String, Option<String>) {
    let full = utf8_percent_encode(channel.as_str(), ESCAPED).to_string();
    if full.len() > MAX_BYTES { (hash(&full), Some(full)) } else { (full, None) }
}

/// The channel of a name in a subject; none if [`write`] has not written it.
pub(super) fn read(name: &str, full: Option<&str>) -> Option<Channel> {
    let written = full.unwrap_or(name);
    let channel = Channel::new(percent_decode_str(written).decode_utf8().ok()?).ok()?;
    // Each channel has one subject, and only its own.
    let (own, own_full) = write(&channel);
    (own == name && own_full.as_deref() == full).then_some(channel)
}

fn hash(written: &str) -> String {
    format!("={}", URL_SAFE_NO_PAD.encode(Sha256::digest(written)))
}

/// Whether a text is a part of a subject that means nothing but itself.
pub(super) fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(name: &str) -> (String, Option<String>) {
        let channel = Channel::new(name).unwrap();
        let (subject, full) = write(&channel);
        assert!(subject.len() <= MAX_BYTES);
        assert!(!subject.contains(['.', '*', '>', ' ', '$', '\\', '/']), "{subject}");
        assert_eq!(read(&subject, full.as_deref()), Some(channel), "{subject}");
        (subject, full)
    }

    #[test]
    fn a_name_has_one_subject_of_its_own() {
        for (name, subject) in [
            ("game:42", "game:42"),
            ("a.b", "a%2Eb"),
            (">", "%3E"),
            ("%", "%25"),
            ("=", "%3D"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(there_and_back(name), (subject.to_owned(), None));
        }
        for other in ["a.b", "a%2eb", "%61", "a%", "%FF", "", "%00", "=abc", "a b"] {
            assert_eq!(read(other, None), None, "{other:?}");
        }
    }

    #[test]
    fn a_long_name_stands_in_the_header() {
        let (fits, long) = ("n".repeat(MAX_BYTES), "n".repeat(Channel::MAX_BYTES));
        assert_eq!(there_and_back(&fits), (fits.clone(), None));
        let (subject, full) = there_and_back(&long);
        assert_eq!((subject.len(), full.as_deref()), (44, Some(&*long)));
        assert_eq!(read(&subject, None), None);
        assert_eq!(read(&subject, Some(&fits)), None, "another name's hash");
        assert_eq!(read(&fits, Some(&fits)), None, "a short name in full");
        there_and_back(&"\u{10ffff}".repeat(Channel::MAX_BYTES / 4));
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "[^\\p{Cc}]{1,300}") {
            there_and_back(&name);
        }
    }
}
