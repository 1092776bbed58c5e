//! Names that nobody can guess.

/// Letters and digits that are not mistaken for each other, also where case does not count (some
/// file systems). A power of two, so that all are equally likely.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A random text of so many characters, five bits each.
pub(crate) fn name(length: usize) -> String {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    let letter = |byte: u8| LETTERS.get(usize::from(byte % 32)).copied().map_or('a', char::from);
    bytes.into_iter().map(letter).collect()
}

/// Whether a secret is the right one, in a time that does not tell how much of it is.
pub(crate) fn is_same(secret: &str, given: &str) -> bool {
    let differences = secret.bytes().zip(given.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    secret.len() == given.len() && differences == 0
}
