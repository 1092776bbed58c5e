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
        let answer = Answer { entries: rest, now: 0, count: 9, epoch: None };
        let (portion, next) = portion(answer, place).unwrap();
        let numbers = portion.entries.iter().map(|entry| entry.sequence >> 16).collect();
        portions.push((portion.floor, numbers));
        place = next;
    }
}

fn at(millis: u64) -> Place {
    Place { read: id(millis), whole: id(millis) }
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
    let answer = |own| Answer { entries: vec![(beyond, own)], now: 0, count: 0, epoch: None };
    assert!(portion(answer(None), at(0)).is_ok());
    let (_, own) = own(1, 0, 1);
    let error = portion(answer(own), at(0)).unwrap_err();
    assert_eq!(error, RedisError::Id { id: "1-65536".into() });
}

#[test]
fn ages_are_never_negative() {
    let answer =
        Answer { entries: vec![own(7, 0, 1), own(9, 7, 2)], now: 8, count: 2, epoch: None };
    let (portion, _) = portion(answer, at(0)).unwrap();
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
        assert_eq!(parsed.len(), 1);
        assert_eq!(parsed[0].0, StreamId { millis: 7, number: 1 });
    }
    assert!(parse_entries(Value::Nil).unwrap().is_empty());

    let (name, other) = ((text("name"), text("longpoll:0a")), (text("x"), Value::Nil));
    let other_group = Value::Map(vec![(text("name"), text("workers"))]);
    let old = Value::Array(vec![name.0.clone(), name.1.clone(), other.0.clone(), other.1.clone()]);
    for group in [old, Value::Map(vec![name, other])] {
        let groups = Value::Array(vec![other_group.clone(), group]);
        assert_eq!(parse_groups(groups), NonZeroU64::new(10));
    }
    assert_eq!(parse_groups(Value::Array(vec![other_group])), None);
}
