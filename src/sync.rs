//! The standard library's locks, atomics and hash keys, or loom's stand-ins in tests under
//! `--cfg loom`.

#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    collections::hash_map::RandomState,
    sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
};
#[cfg(all(test, loom))]
pub(crate) use {
    fixed::RandomState,
    loom::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
};

#[cfg(not(all(test, loom)))]
use std::sync as imp;

#[cfg(all(test, loom))]
use loom::sync as imp;

pub(crate) use imp::MutexGuard;

/// A mutex that a panic does not poison: nothing foreign runs under it that could panic.
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A value on cache lines of its own, so that writing to it does not slow down its neighbours.
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(all(test, loom))]
mod fixed {
    /// Keys that are the same in every execution: loom needs each to run the same way.
    #[derive(Default)]
    pub(crate) struct RandomState;

    impl RandomState {
        pub(crate) fn new() -> Self {
            Self
        }
    }

    impl std::hash::BuildHasher for RandomState {
        type Hasher = std::hash::DefaultHasher;

        fn build_hasher(&self) -> Self::Hasher {
            std::hash::DefaultHasher::new()
        }
    }
}
