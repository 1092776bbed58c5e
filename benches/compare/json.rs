//! What each further waiter's answer costs over HTTP, when its event is there.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::Body;
use tower::ServiceExt;
use tower_longpoll::{Channel, Event, LongPollLayer, LongPollService, PathRoute, Reply};

use super::{Plan, section};
use crate::work::{
    figures::{Spread, table},
    ours,
    slots::Slot,
    world::{World, each, time},
};

const REPLIES: [(&str, Reply); 2] = [("raw", Reply::Raw), ("JSON", Reply::Json)];

pub(crate) fn run(plan: &Plan) -> String {
    if !plan.wants("json") {
        return String::new();
    }
    let mut runs = [const { (Vec::new(), Vec::new()) }; REPLIES.len()];
    for _ in 0..plan.rounds {
        for ((responses, bodies), (_, reply)) in runs.iter_mut().zip(REPLIES) {
            let (response, body) = answers(plan.size.background, reply);
            responses.push(response);
            bodies.push(body);
        }
    }
    let spreads = runs.map(|(responses, bodies)| [responses, bodies].map(Spread::of));
    let line = |((name, _), spreads): (_, &[Spread; 2])| {
        [String::from(name)].into_iter().chain(spreads.map(|spread| spread.to_string())).collect()
    };
    let mut lines: Vec<Vec<_>> = REPLIES.into_iter().zip(&spreads).map(line).collect();
    let beyond = [0, 1].map(|part| spreads[1][part].median - spreads[0][part].median);
    let [response, body] = beyond.map(|more| format!("{more:.0}"));
    lines.push(vec!["JSON beyond raw".to_owned(), response, body]);
    let says = "ns for each waiter after the first: median (least–most); the bar is 100 beyond raw in \
                sum. The event is 128 bytes of JSON";
    section("json", says, table(&["reply", "response", "its body"], &lines), &lines)
}

/// So many wait for one event: a publish wakes them before it returns.
const CROWD: usize = 1_000;

/// Nanoseconds from the woken poll to its response, and from that to the body's last frame.
fn answers(count: usize, reply: Reply) -> (f64, f64) {
    let (world, hub) = (World::new(), ours::builder().build().unwrap());
    let crowds = count.div_ceil(CROWD);
    let (response, body) = world.alone(move || {
        let route = PathRoute::new("/events/{channel}").unwrap();
        let layer = LongPollLayer::new(hub.clone(), route).reply(reply);
        let polls = LongPollService::from(layer);
        let (mut slots, mut bodies) = (Slot::many(CROWD + 1), Vec::with_capacity(CROWD));
        let (mut response, mut body) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..crowds {
            for slot in &mut slots {
                let request = Request::get("/events/news").body(()).unwrap();
                slot.park(polls.clone().oneshot(request));
            }
            let text = "x".repeat(126);
            hub.publish(&Channel::new("news").unwrap(), Event::json(&text).unwrap()).unwrap();

            // The first encodes what all others share.
            let mut answered = slots.iter_mut().map(|slot| slot.answered().unwrap().into_body());
            let mut expected = Vec::new();
            read(answered.next().unwrap(), |chunk| expected.extend(chunk));
            response += time(|| bodies.extend(answered));
            let mut bytes = 0;
            body +=
                time(|| bodies.drain(..).for_each(|body| read(body, |chunk| bytes += chunk.len())));
            assert!(expected.len() >= 128 && bytes == CROWD * expected.len(), "answers differ");
        }
        (response, body)
    });
    (each(response, crowds * CROWD), each(body, crowds * CROWD))
}

/// Reads a body that is complete.
fn read(body: impl Body<Data = Bytes>, mut chunk: impl FnMut(Bytes)) {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        frame.ok().and_then(|frame| frame.into_data().ok()).map(&mut chunk);
    }
}
