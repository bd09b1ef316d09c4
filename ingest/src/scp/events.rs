//! What the listener counts, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

macro_rules! numbers {
    (
        gauges { $($(#[doc = $gauge_about:literal])* $gauge:ident)* }
        counters { $($(#[doc = $about:literal])* $counter:ident: $unit:ident)* }
    ) => {
        /// Numbers of the DIMSE listener; every field only grows, except those that end in `_open`.
        #[derive(Debug, Default)]
        pub struct ScpEvents {
            $($(#[doc = $gauge_about])* pub $gauge: AtomicU64,)*
            $($(#[doc = $about])* pub $counter: AtomicU64,)*
        }

        impl ScpEvents {
            /// Tells the recorder of the process what the numbers mean, and their units.
            pub fn describe() {
                $(describe_gauge!(
                    concat!("dimse_", stringify!($gauge)), Unit::Count, concat!($($gauge_about),*).trim()
                );)*
                $(describe_counter!(
                    concat!("dimse_", stringify!($counter), "_total"), Unit::$unit, concat!($($about),*).trim()
                );)*
                describe_histogram!(STORE_SECONDS, Unit::Seconds, "Time from a C-STORE request to its response");
            }

            /// Gives the present values to the recorder of the process, as `dimse_…_open` and `dimse_…_total`.
            pub fn publish(&self) {
                $(gauge!(concat!("dimse_", stringify!($gauge))).set(self.$gauge.load(Relaxed) as f64);)*
                $(counter!(concat!("dimse_", stringify!($counter), "_total"))
                    .absolute(self.$counter.load(Relaxed));)*
            }
        }
    };
}

numbers! {
    gauges {
        /// TCP connections open now, negotiated or not.
        connections_open
        /// Associations open now.
        associations_open
    }
    counters {
        /// TCP connections dropped at once because too many were open.
        connections_dropped: Count
        /// TCP connections closed at once because their address is not allowed.
        connections_refused: Count
        /// TLS connections that did not get as far as an association request.
        tls_failures: Count
        /// Associations accepted.
        associations_accepted: Count
        /// Associations answered with A-ASSOCIATE-RJ.
        associations_rejected: Count
        /// Connections that ended otherwise than by release, rejection or a plain close between messages.
        associations_aborted: Count
        /// C-ECHO requests answered.
        echoes: Count
        /// Instances acknowledged: success or a warning.
        instances_stored: Count
        /// Instances answered with a failure, or broken off by the sender.
        instances_failed: Count
        /// Data set bytes received.
        data_set_bytes: Bytes
        /// C-FIND requests.
        finds: Count
        /// Matches sent.
        find_answers: Count
        /// C-MOVE requests.
        moves: Count
        /// C-GET requests.
        gets: Count
        /// Instances sent by C-MOVE and C-GET, whatever was answered.
        instances_sent: Count
    }
}

const STORE_SECONDS: &str = "dimse_store_duration_seconds";

/// Counts the time from a C-STORE request's last command byte to its response.
pub(crate) fn stored_in(spent: std::time::Duration) {
    histogram!(STORE_SECONDS).record(spent);
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
        assert_eq!(events.associations_open.load(Relaxed), 1);
        drop(open);
        assert_eq!(events.associations_open.load(Relaxed), 0);
    }
}
