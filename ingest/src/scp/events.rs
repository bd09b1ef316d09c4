//! What the listener counts, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// Counters of the DIMSE listener; every field only grows, except the two that end in `_open`.
        #[derive(Debug, Default)]
        pub struct ScpEvents {
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        impl ScpEvents {
            /// Every counter with its name, in a fixed order, read one after the other.
            pub fn read(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Relaxed)),)*]
            }
        }
    };
}

counters! {
    /// TCP connections open now, negotiated or not.
    connections_open
    /// TCP connections dropped at once because too many were open.
    connections_dropped
    /// Associations open now.
    associations_open
    /// Associations accepted.
    associations_accepted
    /// Associations answered with A-ASSOCIATE-RJ.
    associations_rejected
    /// Connections that ended otherwise than by release, rejection or a plain close between messages.
    associations_aborted
    /// C-ECHO requests answered.
    echoes
    /// Instances acknowledged: success or a warning.
    instances_stored
    /// Instances answered with a failure, or broken off by the sender.
    instances_failed
    /// Data set bytes received.
    data_set_bytes
    /// Microseconds from a C-STORE request's last command byte to its response, summed.
    store_us
}

/// Adds to a counter now and takes it back when dropped: a gauge that no early return can leave wrong.
pub(crate) struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    pub(crate) fn count(gauge: &'a AtomicU64) -> Self {
        gauge.fetch_add(1, Relaxed);
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// One more.
pub(crate) fn tick(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_falls_back_when_its_guard_goes() {
        let events = ScpEvents::default();
        let open = Open::count(&events.associations_open);
        assert!(events.read().contains(&("associations_open", 1)));
        drop(open);
        assert!(events.read().contains(&("associations_open", 0)));
    }
}
