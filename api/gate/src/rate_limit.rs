//! How often who may ask, counted by the crate `governor` (the generic cell rate algorithm).
//!
//! The counts are in memory and each process has its own: behind a load
//! balancer over N processes a caller may get up to N times what is set. What
//! an answer says of them follows draft-ietf-httpapi-ratelimit-headers-10: the
//! fields `RateLimit-Policy` and `RateLimit`; `Retry-After` is RFC 9110's.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use clinical::id::ClinicId;
use governor::RateLimiter;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use uuid::Uuid;

use crate::limits::{Rate, Rates};
use crate::{Problem, Who};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Whoever has their whole allowance again is forgotten after so many checks.
const TIDY_EVERY: u32 = 4_096;
/// Beyond so many who have not, all share [`SHARED`] counts until there are fewer.
const MOST_KEYS: usize = 100_000;
/// Counts for those whom there is no room to count one by one.
const SHARED: u64 = 256;

/// How often who may ask.
pub struct RateLimits<C: Clock = DefaultClock> {
    person: Limit<C>,
    machine: Limit<C>,
    clinic: Limit<C>,
    stranger: Limit<C>,
    sign_in: Limit<C>,
}

/// What a request without a caller is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// An open path, or a token that was refused.
    Stranger,
    /// A password or another secret is tried.
    SignIn,
}

/// What is left to whoever asked; [`Quota::write`] tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota(Option<Left>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Left {
    name: &'static str,
    policy: HeaderValue,
    requests: u32,
    restored_s: u64,
}

impl RateLimits {
    /// Counts from now on.
    pub fn new(rates: &Rates) -> Self {
        Self::with(rates, &DefaultClock::default(), MOST_KEYS)
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    fn with(rates: &Rates, clock: &C, most_keys: usize) -> Self {
        let limit = |name, rate| Limit::new(name, rate, clock.clone(), most_keys);
        Self {
            person: limit("person", rates.person),
            machine: limit("machine", rates.machine),
            clinic: limit("clinic", rates.clinic),
            stranger: limit("address", rates.stranger),
            sign_in: limit("sign-in", rates.sign_in),
        }
    }
}

impl<C: Clock> RateLimits<C> {
    /// Counts one request from an address; those of IPv6 count by the first 64 bits, which are one subscriber's.
    ///
    /// # Errors
    ///
    /// 429 `too-many-requests`.
    pub fn check_address(&self, address: IpAddr, class: AddressClass) -> Result<Quota, Problem> {
        let limit = match class {
            AddressClass::Stranger => &self.stranger,
            AddressClass::SignIn => &self.sign_in,
        };
        limit.check(network(address))
    }

    /// Counts one request of a caller, and of their clinic. A caller who is refused takes nothing from the clinic.
    /// Of the two the one that leaves less is told.
    ///
    /// # Errors
    ///
    /// 429 `too-many-requests`.
    pub fn check_caller(&self, who: Who, clinic: ClinicId) -> Result<Quota, Problem> {
        let own = match who {
            Who::User { user_id, .. } => self.person.check(user_id.0.as_u128()),
            Who::Key { api_key_id } => self.machine.check(api_key_id.0.as_u128()),
            Who::Administrator => self.machine.check(Uuid::nil().as_u128()),
        }?;
        let clinic = self.clinic.check(clinic.0.as_u128())?;
        Ok(own.or_less(clinic))
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

impl Quota {
    /// Writes the fields `RateLimit-Policy` and `RateLimit`; none where there is no limit.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Some(left) = &self.0 {
            headers.insert(RATELIMIT_POLICY, left.policy.clone());
            headers.insert(RATELIMIT, left.header());
        }
    }

    fn or_less(self, other: Self) -> Self {
        match (&self.0, &other.0) {
            (None, _) => other,
            (Some(ours), Some(theirs)) if theirs.requests < ours.requests => other,
            _ => self,
        }
    }
}

impl Left {
    /// `r` requests may follow at once; in `t` seconds there are more: all of them, or where none is left the next.
    fn header(&self) -> HeaderValue {
        let text = format!(r#""{}";r={};t={}"#, self.name, self.requests, self.restored_s);
        HeaderValue::from_str(&text).expect("a name of ours and two numbers are visible ASCII")
    }
}

/// Whom is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Own(u128),
    Shared(u64),
}

type Limiter<C> = RateLimiter<Key, HashMapStateStore<Key>, C, StateInformationMiddleware>;

/// One rate, counted for each key.
struct Limit<C: Clock>(Option<Counted<C>>);

struct Counted<C: Clock> {
    name: &'static str,
    policy: HeaderValue,
    rate: Rate,
    /// In which one request grows back.
    interval: Duration,
    limiter: Limiter<C>,
    clock: C,
    checks: AtomicU32,
    most_keys: usize,
    is_full: AtomicBool,
    hasher: RandomState,
}

impl<C: Clock + Clone> Limit<C> {
    fn new(name: &'static str, rate: Rate, clock: C, most_keys: usize) -> Self {
        let interval = rate.window.checked_div(rate.requests).unwrap_or_default();
        let requests = rate.requests.try_into().ok();
        let quota =
            governor::Quota::with_period(interval).zip(requests).map(|(quota, n)| quota.allow_burst(n));
        Self(quota.map(|quota| {
            let text = format!(r#""{name}";q={};w={}"#, rate.requests, seconds(rate.window));
            Counted {
                name,
                policy: HeaderValue::from_str(&text)
                    .expect("a name of ours and two numbers are visible ASCII"),
                rate,
                interval,
                limiter: RateLimiter::new(quota, HashMapStateStore::default(), clock.clone()),
                clock,
                checks: AtomicU32::new(0),
                most_keys,
                is_full: AtomicBool::new(false),
                hasher: RandomState::new(),
            }
        }))
    }
}

impl<C: Clock> Limit<C> {
    fn check(&self, key: u128) -> Result<Quota, Problem> {
        self.0.as_ref().map(|counted| counted.check(key)).transpose().map(Quota)
    }
}

impl<C: Clock> Counted<C> {
    fn check(&self, key: u128) -> Result<Left, Problem> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.tidy();
        }
        let key = if self.is_full.load(Ordering::Relaxed) {
            Key::Shared(self.hasher.hash_one(key) % SHARED)
        } else {
            Key::Own(key)
        };
        match self.limiter.check_key(&key) {
            Ok(state) => {
                let requests = state.remaining_burst_capacity();
                let missing = if requests == 0 { 1 } else { self.rate.requests.saturating_sub(requests) };
                Ok(self.left(requests, self.interval.saturating_mul(missing)))
            }
            Err(until) => Err(self.refusal(until.wait_time_from(self.clock.now()))),
        }
    }

    fn left(&self, requests: u32, restored: Duration) -> Left {
        Left { name: self.name, policy: self.policy.clone(), requests, restored_s: seconds(restored) }
    }

    fn refusal(&self, wait: Duration) -> Problem {
        metrics::counter!("http_rate_limited_total", "policy" => self.name).increment(1);
        let left = self.left(0, wait);
        let detail = format!("too many requests came too fast; try again in {} s", left.restored_s);
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from(left.restored_s))
            .with_header(RATELIMIT_POLICY, self.policy.clone())
            .with_header(RATELIMIT, left.header())
    }

    /// Forgets whoever has their whole allowance again; sees whether there is room for newcomers.
    fn tidy(&self) {
        self.limiter.retain_recent();
        let is_full = self.limiter.len() >= self.most_keys;
        if is_full && !self.is_full.swap(is_full, Ordering::Relaxed) {
            tracing::warn!(policy = self.name, "too many to be limited one by one: they share their limits");
        }
        if !is_full {
            self.is_full.store(false, Ordering::Relaxed);
            self.limiter.shrink_to_fit();
        }
    }
}

/// Whole seconds, rounded up, and never none.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use clinical::id::{ApiKeyId, SessionId, UserId};
    use governor::clock::FakeRelativeClock;

    use super::*;

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn all(rate: Rate) -> Rates {
        Rates { person: rate, machine: rate, clinic: rate, stranger: rate, sign_in: rate }
    }

    fn limits(rates: &Rates) -> (RateLimits<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (RateLimits::with(rates, &clock, 1_000), clock)
    }

    fn user() -> Who {
        Who::User { user_id: UserId::new(), session_id: SessionId::new() }
    }

    fn key() -> Who {
        Who::Key { api_key_id: ApiKeyId::new() }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn told(quota: &Quota) -> (String, String) {
        let mut headers = HeaderMap::new();
        quota.write(&mut headers);
        let text =
            |name| headers.get(name).map_or("", |value: &HeaderValue| value.to_str().unwrap()).to_owned();
        (text(RATELIMIT_POLICY), text(RATELIMIT))
    }

    fn refused(problem: &Problem) -> Vec<String> {
        let answer = axum::response::IntoResponse::into_response(problem.clone());
        let names = ["retry-after", "ratelimit-policy", "ratelimit"];
        names.map(|name| answer.headers()[name].to_str().unwrap().to_owned()).to_vec()
    }

    /// The fields' form is that of the draft's sections 3 and 4: `"name";q=…;w=…` and `"name";r=…;t=…`.
    #[test]
    fn a_stranger_is_refused_when_the_allowance_is_spent_and_let_in_when_it_has_grown() {
        let (limits, clock) = limits(&all(Rate::new(6, 60)));
        let ask = || limits.check_address(address("203.0.113.7"), AddressClass::Stranger);
        assert_eq!(told(&ask().unwrap()), (r#""address";q=6;w=60"#.into(), r#""address";r=5;t=10"#.into()));
        for left in (0..5).rev() {
            let (_, told) = told(&ask().unwrap());
            assert!(told.starts_with(&format!(r#""address";r={left};"#)), "{told}");
        }
        clock.advance(Duration::from_millis(3_500));
        let problem = ask().unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code()), (429, "too-many-requests"));
        assert_eq!(refused(&problem), ["7", r#""address";q=6;w=60"#, r#""address";r=0;t=7"#]);
        clock.advance(Duration::from_secs(7));
        ask().unwrap();
        ask().unwrap_err();
        assert!(limits.check_address(address("203.0.113.8"), AddressClass::Stranger).is_ok(), "another one");
    }

    #[test]
    fn signing_in_is_counted_apart_from_the_rest() {
        let (limits, _) = limits(&Rates { sign_in: Rate::new(1, 60), ..all(Rate::new(6, 60)) });
        limits.check_address(address("203.0.113.7"), AddressClass::SignIn).unwrap();
        limits.check_address(address("203.0.113.7"), AddressClass::SignIn).unwrap_err();
        limits.check_address(address("203.0.113.7"), AddressClass::Stranger).unwrap();
    }

    /// RFC 4291, section 2.5.4: the last 64 bits are the interface, which its owner chooses freely.
    #[test]
    fn an_ipv6_subscriber_is_one_address_and_a_mapped_one_is_its_ipv4_self() {
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::ffff:2")));
        assert_ne!(network(address("2001:db8::1")), network(address("2001:db8:0:1::1")));
        assert_eq!(network(address("::ffff:203.0.113.7")), network(address("203.0.113.7")));
        assert_ne!(network(address("203.0.113.7")), network(address("203.0.113.8")));
    }

    #[test]
    fn people_and_machines_have_limits_of_their_own() {
        let (limits, _) = limits(&Rates { machine: Rate::new(3, 60), ..all(Rate::new(2, 60)) });
        let rates = [(user(), 2), (key(), 3), (Who::Administrator, 3)];
        for (who, most) in rates {
            let clinics = (0..).map(|_| ClinicId::new());
            let passed =
                clinics.take(10).take_while(|clinic| limits.check_caller(who, *clinic).is_ok()).count();
            assert_eq!(passed, most, "{who:?}");
        }
    }

    #[test]
    fn two_sign_ins_of_one_person_share_a_limit() {
        let (limits, _) = limits(&Rates { person: Rate::new(1, 60), ..all(Rate::new(6, 60)) });
        let user_id = UserId::new();
        let sign_in = || Who::User { user_id, session_id: SessionId::new() };
        limits.check_caller(sign_in(), CLINIC).unwrap();
        limits.check_caller(sign_in(), CLINIC).unwrap_err();
    }

    #[test]
    fn a_clinic_is_limited_as_a_whole_and_a_refused_caller_takes_nothing_from_it() {
        let (limits, _) = limits(&Rates { clinic: Rate::new(4, 60), ..all(Rate::new(2, 60)) });
        let greedy = user();
        for _ in 0..50 {
            let _ = limits.check_caller(greedy, CLINIC);
        }
        limits.check_caller(user(), CLINIC).unwrap();
        let quota = limits.check_caller(user(), CLINIC).unwrap();
        assert!(told(&quota).1.starts_with(r#""clinic";r=0;"#), "the clinic's is nearer its end: {quota:?}");
        let problem = limits.check_caller(user(), CLINIC).unwrap_err();
        assert_eq!(refused(&problem)[1], r#""clinic";q=4;w=60"#);
        limits.check_caller(user(), ClinicId::new()).unwrap();
    }

    #[test]
    fn without_requests_or_window_there_is_no_limit() {
        for rate in [Rate::new(0, 60), Rate::new(60, 0)] {
            let (limits, _) = limits(&all(rate));
            for _ in 0..1_000 {
                let quota = limits.check_caller(user(), CLINIC).unwrap();
                assert_eq!(told(&quota), (String::new(), String::new()));
            }
        }
    }

    /// The issue's number: 2,000 requests a second by one key, for a minute.
    #[test]
    fn a_dashboard_at_2000_requests_a_second_passes_with_the_defaults() {
        let (limits, clock) = limits(&Rates::default());
        let dashboard = key();
        for _ in 0..120_000 {
            limits.check_caller(dashboard, CLINIC).unwrap();
            clock.advance(Duration::from_micros(500));
        }
    }

    #[test]
    fn whoever_has_the_whole_allowance_again_is_forgotten() {
        let (limits, clock) = limits(&Rates { sign_in: Rate::new(120, 120), ..Rates::default() });
        for number in 0..100_000_u64 {
            let subscriber = IpAddr::from((u128::from(number) << 64).to_be_bytes());
            limits.check_address(subscriber, AddressClass::SignIn).unwrap();
            clock.advance(Duration::from_millis(5));
        }
        let kept = limits.sign_in.0.as_ref().unwrap().limiter.len();
        assert!(kept <= 400 + TIDY_EVERY as usize, "two seconds' and those since the last tidying: {kept}");
    }

    #[test]
    fn a_flood_of_new_addresses_cannot_grow_the_counts_without_end() {
        let (limits, clock) = limits(&Rates { sign_in: Rate::new(10, 86_400), ..Rates::default() });
        let counts = limits.sign_in.0.as_ref().unwrap();
        for number in 0..50_000_u64 {
            let subscriber = IpAddr::from((u128::from(number) << 64).to_be_bytes());
            let _ = limits.check_address(subscriber, AddressClass::SignIn);
        }
        let most = 1_000 + TIDY_EVERY as usize + SHARED as usize;
        assert!(counts.limiter.len() <= most, "{}", counts.limiter.len());
        assert!(counts.is_full.load(Ordering::Relaxed));
        clock.advance(Duration::from_secs(2 * 86_400));
        counts.tidy();
        assert!(counts.limiter.is_empty());
        assert!(!counts.is_full.load(Ordering::Relaxed));
    }
}
