//! The feature `tracing` is off.

use std::time::Duration;

#[inline(always)]
pub(crate) fn draining(_: Duration) {}

#[inline(always)]
pub(crate) fn closed() {}

#[inline(always)]
pub(super) fn unpublished(_: &'static str) {}

/// No span.
#[cfg(all(feature = "metrics", not(loom)))]
#[derive(Default)]
pub(super) struct PollSpan(());

#[cfg(all(feature = "metrics", not(loom)))]
impl PollSpan {
    pub(super) fn new(_: &super::Begin) -> Self {
        Self(())
    }

    pub(super) fn is_disabled(&self) -> bool {
        true
    }

    pub(super) fn enter(&self) -> impl Sized {}

    pub(super) fn end(self, _: &super::Outcome, _: Option<f64>) {}
}
