//! The feature `metrics` is off.

use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use super::Metered;

/// Whether anything is measured.
#[cfg(all(feature = "tracing", not(loom)))]
pub(super) const ON: bool = false;

#[derive(Default)]
pub(crate) struct Changes(());

#[derive(Default)]
pub(crate) struct Meter(());

const _: () = assert!(size_of::<Changes>() == 0 && size_of::<Meter>() == 0);

impl Meter {
    #[inline(always)]
    pub(crate) fn answered(&mut self) {}

    #[inline(always)]
    pub(crate) fn refused(&mut self, _: &'static str) {}
}

/// A lock's guard, and nothing else.
pub(crate) struct Telling<'a, G>(G, PhantomData<&'a Changes>);

impl<'a, G: DerefMut<Target: Metered>> Telling<'a, G> {
    #[inline(always)]
    pub(crate) fn new(guard: G, _: &'a Changes) -> Self {
        Self(guard, PhantomData)
    }
}

impl<G: Deref> Deref for Telling<'_, G> {
    type Target = G::Target;

    #[inline(always)]
    fn deref(&self) -> &G::Target {
        &self.0
    }
}

impl<G: DerefMut> DerefMut for Telling<'_, G> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.0
    }
}

#[inline(always)]
pub(crate) fn describe() {}

#[inline(always)]
pub(super) fn lags(_: u64, _: u64) {}

#[inline(always)]
pub(super) fn unpublished(_: &'static str) {}

#[cfg(all(feature = "tracing", not(loom)))]
pub(super) fn ended(_: f64, _: Option<f64>) {}
