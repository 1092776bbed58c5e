#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::{change::Change, channel::Channel};

fn id(millis: u64) -> StreamId {
    StreamId { millis, number: 0 }
}

fn own(at: u64, before: u64, count: u64) -> (StreamId, Option<Own>) {
    let change = Some(Change::Touch(Channel::new("a").unwrap()));
    (id(at), Some(Own { before: id(before), count, change }))
}

fn foreign(at: u64) -> (StreamId, Option<Own>) {
    (id(at), None)
}

fn answer(list: Vec<(StreamId, Option<Own>)>) -> Answer {
    Answer { entries: Entries { list, bytes: 0 }, now: 8, count: 9, epoch: None }
}

/// Reads as the server would, from `place` on: the floor and the entries of every portion.
fn read(entries: &[(StreamId, Option<Own>)], mut place: Place) -> Vec<(u64, Vec<u64>)> {
    let mut portions = Vec::new();
    loop {
        let rest = entries.iter().filter(|(at, _)| *at > place.read).map(|(at, own)| {
            let again = own.as_ref();
            (*at, again.map(|own| Own { change: own.change.clone(), ..*own }))
        });
        let rest: Vec<_> = rest.collect();
        if rest.is_empty() {
            return portions;
        }
        let answer = answer(rest);
        let (portion, next) = portion(answer, place).unwrap();
        let numbers = portion.entries.iter().map(|entry| entry.sequence >> 16).collect();
        portions.push((portion.floor, numbers));
        place = next;
    }
}

fn at(millis: u64) -> Place {
    Place { read: id(millis), whole: id(millis), count: FIRST_PORTION }
}

fn floor(millis: u64) -> u64 {
    id(millis).sequence().unwrap()
}

#[test]
fn an_unbroken_chain_has_no_floor() {
    let entries = [own(1, 0, 1), own(2, 1, 2), foreign(3), own(5, 2, 3)];
    assert_eq!(read(&entries, at(0)), [(0, vec![1, 2, 3, 5])]);
    assert_eq!(read(&entries, at(2)), [(0, vec![3, 5])]);
    assert_eq!(read(&entries, at(3)), [(0, vec![5])], "from a foreign one on");
}

#[test]
fn what_is_gone_from_the_start_is_told_exactly() {
    let entries = [own(4, 3, 4), own(5, 4, 5)];
    assert_eq!(read(&entries, at(2)), [(floor(3), vec![4, 5])]);
    assert_eq!(read(&entries, at(3)), [(0, vec![4, 5])], "nothing is missing for it");
}

#[test]
fn a_hole_inside_ends_the_portion() {
    let entries = [own(1, 0, 1), own(4, 3, 4)];
    assert_eq!(read(&entries, at(0)), [(0, vec![1]), (floor(3), vec![4])]);
}

#[test]
fn a_hole_is_told_even_behind_foreign_entries_that_were_passed() {
    let entries = [foreign(4), own(5, 3, 4)];
    assert_eq!(read(&entries, at(2)), [(0, vec![4]), (floor(5) - 1, vec![5])]);
}

#[test]
fn ids_that_do_not_fit_are_errors_only_where_something_would_be_lost() {
    let beyond = StreamId { millis: 1, number: 1 << 16 };
    assert!(portion(answer(vec![(beyond, None)]), at(0)).is_ok());
    let (_, own) = own(1, 0, 1);
    let error = portion(answer(vec![(beyond, own)]), at(0)).unwrap_err();
    assert_eq!(error, RedisError::Id { id: "1-65536".into() });
}

#[test]
fn portions_have_as_many_entries_as_their_size_allows() {
    let mut place = at(0);
    let mut counts = Vec::new();
    for (entries, bytes) in [(16, 1), (32, 1), (64, 1), (128, 1), (256, 1), (3, 1)]
        .into_iter()
        .chain([(256, 256 << 20), (128, 128 << 20), (1, 1), (64, 1)])
    {
        let list = (0..entries).map(|_| foreign(1)).collect();
        place = place.after(&Entries { list, bytes });
        counts.push(place.count);
    }
    assert_eq!(counts, [32, 64, 128, 256, 256, 256, 128, 64, 64, 128]);
    let one = Entries { list: vec![foreign(1)], bytes: usize::MAX };
    assert_eq!(Place { count: 1, ..place }.after(&one).count, 1);
}

#[test]
fn what_is_behind_a_full_portion_is_told() {
    let list = (1..=16).map(|number| own(number, number - 1, number)).collect();
    let (portion, _) = portion(answer(list), at(0)).unwrap();
    assert_eq!(
        (portion.entries.len(), portion.behind),
        (16, 0),
        "nine of sixteen: notes were lost"
    );
    let list = (1..=16).map(|number| own(number, number - 1, number)).collect();
    let more = Answer { count: 20, ..answer(list) };
    assert_eq!(super::portion(more, at(0)).unwrap().0.behind, 4);
}

#[test]
fn ages_are_never_negative() {
    let (portion, _) = portion(answer(vec![own(7, 0, 1), own(9, 7, 2)]), at(0)).unwrap();
    let ages: Vec<_> = portion.entries.iter().map(|entry| entry.age.as_millis()).collect();
    assert_eq!(ages, [1, 0]);
}

#[test]
fn answers_are_read_in_both_protocols() {
    let text = |text: &str| Value::BulkString(text.into());
    let entry = Value::Array(vec![text("7-1"), Value::Array(vec![text("field"), text("value")])]);
    let entries = Value::Array(vec![entry]);
    let old = Value::Array(vec![Value::Array(vec![text("key"), entries.clone()])]);
    let new = Value::Map(vec![(text("key"), entries)]);
    for value in [old, new] {
        let parsed = parse_entries(value).unwrap();
        assert_eq!((parsed.list.len(), parsed.bytes), (1, 10));
        assert_eq!(parsed.list[0].0, StreamId { millis: 7, number: 1 });
    }
    assert!(parse_entries(Value::Nil).unwrap().list.is_empty());

    let (name, other) = ((text("name"), text("longpoll:0a")), (text("x"), Value::Nil));
    let other_group = Value::Map(vec![(text("name"), text("workers"))]);
    let old = Value::Array(vec![name.0.clone(), name.1.clone(), other.0.clone(), other.1.clone()]);
    for group in [old, Value::Map(vec![name, other])] {
        let groups = Value::Array(vec![other_group.clone(), group]);
        assert_eq!(parse_groups(groups), NonZeroU64::new(10));
    }
    assert_eq!(parse_groups(Value::Array(vec![other_group])), None);
}
