//! A handler that owns a handle to everything, as frameworks hand out their state.

use std::time::Duration;

use bytes::Bytes;

use super::subject::Subject;

/// A subject that is cloned for every poll; the poll's future keeps the clone.
#[derive(Clone)]
pub(crate) struct Handled<S>(S);

impl<S: Subject> Subject for Handled<S> {
    const NAME: &'static str = S::NAME;
    type Name = S::Name;
    type Cursor = S::Cursor;
    type Ask = (S, S::Ask);
    type Output = S::Output;

    fn keeping(events: usize) -> Self {
        Self(S::keeping(events))
    }

    fn name(text: &str) -> S::Name {
        S::name(text)
    }

    fn ask(&self, name: &S::Name, since: Option<S::Cursor>) -> Self::Ask {
        let handle = self.0.clone();
        let ask = handle.ask(name, since);
        (handle, ask)
    }

    async fn wait((handle, ask): Self::Ask, hold: Duration) -> S::Output {
        let output = S::wait(ask, hold).await;
        drop(handle);
        output
    }

    fn publish(&self, name: &S::Name, payload: Bytes) -> S::Cursor {
        self.0.publish(name, payload)
    }

    fn event(output: &S::Output) -> (S::Cursor, &Bytes) {
        S::event(output)
    }
}
