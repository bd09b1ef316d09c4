//! Wrong passwords slow further guesses, and lock nobody out.
//!
//! Counted are tries by account and origin; an origin is an address (of IPv6 its
//! /64), or a device that proves by an earlier refresh token that its person has
//! signed in there before. Five tries are free, then each wrong one doubles the
//! time until the next, up to a minute; a right one clears the count. So whoever
//! guesses stops nobody at another address, and nobody on their own device
//! (OWASP, «Slow Down Online Guessing Attacks with Device Cookies»).
//!
//! Against guessing from many addresses each account has a second count over all
//! unknown origins, which refuses nothing: past twenty tries in an hour an answer
//! takes up to three seconds longer. Devices and addresses from which the person
//! has signed in before do not feel it.
//!
//! Both are in memory, bounded, for one process and until it ends: a restart gives
//! five free tries anew, which does not help a guesser; what failed is in the audit
//! trail for good.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::SessionId;
use quick_cache::sync::Cache;

/// Accounts and origins that are counted at a time; of more, those seen least are forgotten.
const MOST: usize = 100_000;
/// So many tries cost nothing.
const FREE: u32 = 5;
/// The longest wait between two tries, in seconds.
const LONGEST_S: i64 = 60;
/// A count is forgotten when nothing was tried for so long.
const FORGOTTEN: TimeDelta = TimeDelta::hours(1);
/// So many tries on an account, from everywhere, before answers slow down.
const FREE_ANYWHERE: u32 = 20;
/// By how much each further one slows the answer.
const SLOWER_BY: Duration = Duration::from_millis(100);
/// And how much at most.
const SLOWEST: Duration = Duration::from_secs(3);

/// From where somebody tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A device on which the account has been signed in.
    Device(SessionId),
    /// Some address, or none that is known.
    Address(Option<IpAddr>),
}

impl Origin {
    /// An address as it is counted: one who has an IPv6 network has all of its addresses.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(|address| match address {
            IpAddr::V6(address) if address.to_ipv4_mapped().is_none() => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
            }
            address => address.to_canonical(),
        }))
    }
}

#[derive(Debug, Default)]
struct Count {
    tries: u32,
    last: Option<DateTime<Utc>>,
}

impl Count {
    fn forget_old(&mut self, now: DateTime<Utc>) {
        if self.last.is_some_and(|last| now - last > FORGOTTEN) {
            *self = Self::default();
        }
    }

    fn add(&mut self, now: DateTime<Utc>) {
        self.tries = self.tries.saturating_add(1);
        self.last = Some(now);
    }

    /// The seconds until the next try is heard.
    fn wait_s(&self, now: DateTime<Utc>) -> i64 {
        let (Some(over), Some(last)) = (self.tries.checked_sub(FREE), self.last) else { return 0 };
        let wait_s = (1_i64 << over.min(6)).min(LONGEST_S);
        let left = last + TimeDelta::seconds(wait_s) - now;
        (left.num_milliseconds() + 999).div_euclid(1_000)
    }
}

type Counted = Arc<Mutex<Count>>;

/// Who tried how often; an account is what was typed, whether anybody has it or not.
pub(crate) struct Attempts {
    origins: Cache<(String, Origin), Counted>,
    accounts: Cache<String, Counted>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { origins: Cache::new(MOST), accounts: Cache::new(MOST) }
    }
}

impl Attempts {
    /// Counts a try, before its outcome is known; the seconds to wait where it comes too early.
    pub fn begin(&self, account: &str, origin: Origin, now: DateTime<Utc>) -> Result<(), i64> {
        let key = (account.to_owned(), origin);
        let made = self.origins.get_or_insert_with(&key, || Ok::<_, Infallible>(Counted::default()));
        let Ok(counted) = made;
        let mut count = counted.lock().unwrap_or_else(PoisonError::into_inner);
        count.forget_old(now);
        match count.wait_s(now) {
            wait_s if wait_s > 0 => Err(wait_s),
            _ => {
                count.add(now);
                Ok(())
            }
        }
    }

    /// By how much the answer is slowed for an origin that is not known to belong to the account's owner.
    pub fn slowness(&self, account: &str, now: DateTime<Utc>) -> Duration {
        let made = self.accounts.get_or_insert_with(account, || Ok::<_, Infallible>(Counted::default()));
        let Ok(counted) = made;
        let mut count = counted.lock().unwrap_or_else(PoisonError::into_inner);
        count.forget_old(now);
        count.add(now);
        (SLOWER_BY * count.tries.saturating_sub(FREE_ANYWHERE)).min(SLOWEST)
    }

    /// Clears the origin's count: the password was right.
    pub fn succeeded(&self, account: &str, origin: Origin) {
        self.origins.remove(&(account.to_owned(), origin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn from(text: &str) -> Origin {
        Origin::of(Some(text.parse().unwrap()))
    }

    #[test]
    fn after_five_tries_each_further_one_waits_twice_as_long_up_to_a_minute() {
        let attempts = Attempts::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..14 {
            while let Err(wait_s) = attempts.begin("ada", from("192.0.2.1"), at(now)) {
                waits.push(wait_s);
                now += wait_s;
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_guesser_stops_nobody_else() {
        let attempts = Attempts::default();
        let device = Origin::Device(SessionId::new());
        for _ in 0..100 {
            let _ = attempts.begin("ada", from("192.0.2.1"), at(0));
        }
        assert!(attempts.begin("ada", from("192.0.2.1"), at(0)).is_err());
        assert!(attempts.begin("ada", from("192.0.2.2"), at(0)).is_ok(), "another address");
        assert!(attempts.begin("eve", from("192.0.2.1"), at(0)).is_ok(), "another account");
        assert!(attempts.begin("ada", device, at(0)).is_ok(), "a known device at the same address");
    }

    #[test]
    fn a_right_password_or_an_hour_clears_the_count() {
        let attempts = Attempts::default();
        let (here, there) = (from("192.0.2.1"), from("192.0.2.2"));
        for _ in 0..5 {
            attempts.begin("ada", here, at(0)).unwrap();
            attempts.begin("ada", there, at(0)).unwrap();
        }
        attempts.succeeded("ada", here);
        assert!(attempts.begin("ada", here, at(0)).is_ok());
        assert!(attempts.begin("ada", there, at(0)).is_err());
        assert!(attempts.begin("ada", there, at(3_601)).is_ok());
    }

    #[test]
    fn guesses_from_everywhere_are_slowed_and_not_refused() {
        let attempts = Attempts::default();
        let slow: Vec<u128> = (0..60).map(|_| attempts.slowness("ada", at(0)).as_millis()).collect();
        assert_eq!((slow[19], slow[20], slow[29], slow[59]), (0, 100, 1_000, 3_000));
        assert_eq!(attempts.slowness("eve", at(0)), Duration::ZERO);
    }

    #[test]
    fn a_network_of_ipv6_is_one_origin() {
        assert_eq!(from("2001:db8:1:2::1"), from("2001:db8:1:2:ffff::9"));
        assert_ne!(from("2001:db8:1:2::1"), from("2001:db8:1:3::1"));
        assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
    }
}
