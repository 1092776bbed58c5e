#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn cursor(epoch: u64, sequence: u64) -> Cursor {
    Cursor::new(NonZeroU64::new(epoch).unwrap(), sequence)
}

#[test]
fn a_cursor_is_short() {
    assert_eq!(cursor(u64::MAX, u64::MAX).to_string().len(), TEXT_BYTES);
    assert_eq!(cursor(u64::MAX, 0).to_string().len(), 12);
    assert_eq!(TEXT_BYTES, 23);
}

#[test]
fn a_malformed_cursor_is_refused() {
    let good = cursor(7, 300).to_string();
    let rows = [
        ("empty", String::new()),
        ("version alone", "1".into()),
        ("another version", good.replacen('1', "2", 1)),
        ("padded", format!("{good}=")),
        ("a character less", good[..good.len() - 1].into()),
        ("not base64", "1!!!!!!!!!!!".into()),
        ("not ASCII", "1ééééé".into()),
        ("epoch zero", format!("1{}", URL_SAFE_NO_PAD.encode([0; 8]))),
        ("leading zero", format!("1{}", URL_SAFE_NO_PAD.encode([1, 1, 1, 1, 1, 1, 1, 1, 0, 5]))),
        ("nine bytes of sequence", format!("1{}", URL_SAFE_NO_PAD.encode([1; 17]))),
        ("ten kilobytes", "1".repeat(10_240)),
    ];
    for (name, text) in rows {
        assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{name}");
    }
}

proptest! {
    #[test]
    fn a_cursor_survives_its_text_form(epoch in 1u64.., sequence: u64) {
        let cursor = cursor(epoch, sequence);
        let text = cursor.to_string();
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert_eq!(text.parse(), Ok(cursor));
    }

    #[test]
    fn whatever_parses_is_the_one_text_form(text in "1?[A-Za-z0-9_=-]{0,30}") {
        if let Ok(cursor) = text.parse::<Cursor>() {
            prop_assert_eq!(cursor.to_string(), text);
        }
    }
}
