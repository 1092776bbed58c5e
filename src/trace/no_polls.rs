//! Nobody looks at a poll.

use super::{Begin, Outcome};

#[derive(Clone, Copy)]
pub(crate) struct Moment;

impl Moment {
    #[cfg(test)]
    pub(crate) const NEVER: Self = Self;

    #[inline(always)]
    pub(crate) const fn at(_: u64) -> Self {
        Self
    }
}

#[derive(Default)]
pub(crate) struct Observed(());

const _: () = assert!(size_of::<Observed>() == 0 && size_of::<Moment>() == 0);

impl Observed {
    #[inline(always)]
    pub(crate) fn begin(&mut self, _: impl FnOnce() -> Begin) {}

    #[inline(always)]
    pub(crate) fn enter(&self) -> impl Sized {}

    #[inline(always)]
    pub(crate) fn park(&mut self, _: impl FnOnce() -> Moment) {}

    #[inline(always)]
    pub(crate) fn end(&mut self, _: impl FnOnce() -> Outcome, _: impl FnOnce() -> Option<Moment>) {}
}
