//! What happens in an invented clinic: nothing of it ever did.

use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use clinical::decision::Urgency;
use clinical::id::{FindingId, UserId, VisitId};
use clinical::money::Currency;
use clinical::person::Sex;

/// A moment, in whole seconds.
pub(super) type Instant = DateTime<Utc>;

/// Who works there: the first of each specialty leaves before the last month.
const SPECIALTIES: [(&str, usize); 5] =
    [("Cardiology", 4), ("Radiology", 3), ("Pediatrics", 3), ("Dermatology", 2), ("Neurology", 1)];
const MODALITIES: [&str; 5] = ["CR", "CT", "MR", "US", "MG"];

/// A person who became a patient.
pub(super) struct Person {
    pub at: Instant,
    pub sex: Sex,
    pub born_on: Option<NaiveDate>,
}

/// A study, from its receipt to the last word on it.
pub(super) struct Imaged {
    pub at: Instant,
    pub patient: usize,
    pub modality: &'static str,
    pub found_at: Option<Instant>,
    pub is_positive: bool,
    pub words: Vec<Word>,
}

/// What a physician said of a finding.
pub(super) struct Word {
    pub at: Instant,
    pub finding_id: FindingId,
    pub physician: UserId,
    pub is_accepted: bool,
}

/// A visit, as it stands in the end.
pub(super) struct Visit {
    pub visit_id: VisitId,
    pub patient: usize,
    pub physician: UserId,
    pub specialty: Option<&'static str>,
    pub starts_at: Instant,
    pub booked_at: Instant,
    /// It was booked before for another time: when, and for when.
    pub booked_first: Option<(Instant, Instant)>,
    pub cancelled_at: Option<Instant>,
    pub is_held: bool,
}

/// An invoice and what became of it.
pub(super) struct Bill {
    pub patient: usize,
    pub currency: Currency,
    pub minor: i64,
    pub issued_at: Instant,
    pub failed_at: Option<Instant>,
    pub paid_at: Option<Instant>,
    pub refunded: Option<(Instant, i64)>,
    pub closed_at: Option<Instant>,
    pub reminded_at: Option<Instant>,
}

/// Everything that was invented.
pub(super) struct Activity {
    pub currency: Currency,
    pub patients: Vec<Person>,
    pub studies: Vec<Imaged>,
    pub visits: Vec<Visit>,
    pub bills: Vec<Bill>,
    pub assessments: Vec<(Instant, Urgency)>,
    /// When an issue with drugs was overridden.
    pub overrides: Vec<Instant>,
    /// When a subscription came to which state.
    pub subscriptions: Vec<(Instant, &'static str)>,
    pub deliveries: Vec<(Instant, &'static str, &'static str)>,
}

/// The same throws for the same number (SplitMix64, Steele, Lea and Flood 2014).
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 on and below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.throw() % end.max(1)
    }

    fn number(&mut self, end: usize) -> usize {
        self.below(end as u64) as usize
    }

    /// So many times in a hundred.
    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn seconds(&mut self, most: i64) -> TimeDelta {
        TimeDelta::seconds(self.below(most.unsigned_abs()) as i64)
    }
}

/// A month of the clinic.
struct Month {
    number: u32,
    start: Instant,
    end: Instant,
    is_last: bool,
}

/// The first instant of a month where the clinic is.
fn first(day: NaiveDate, zone: Tz) -> Instant {
    let midnight = day.and_hms_opt(0, 0, 0).unwrap_or_default();
    zone.from_local_datetime(&midnight).earliest().map_or(midnight.and_utc(), |at| at.to_utc())
}

fn months(count: u32, now: Instant, zone: Tz) -> Vec<Month> {
    let this = now.with_timezone(&zone).date_naive().with_day(1).unwrap_or_default();
    let begin = |back: u32| this.checked_sub_months(Months::new(back)).unwrap_or(this);
    let month = |number: u32| {
        let start = begin(count - 1 - number);
        let next = start.checked_add_months(Months::new(1)).unwrap_or(start);
        Month { number, start: first(start, zone), end: first(next, zone), is_last: number + 1 == count }
    };
    (0..count).map(month).collect()
}

impl Activity {
    /// So many months, of which that of `now` is the last; nothing is told after `now`.
    pub fn invent(seed: u64, count: u32, now: Instant, zone: Tz, currency: Currency) -> Self {
        let now = DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now);
        let mut dice = Dice(seed);
        let staff: Vec<(&str, Vec<UserId>)> = SPECIALTIES
            .iter()
            .map(|(name, count)| (*name, (0..*count).map(|_| UserId::new()).collect()))
            .collect();
        let other = if currency.code() == "EUR" { "USD" } else { "EUR" };
        let other = other.parse().unwrap_or(currency);
        let mut made = Self {
            currency,
            patients: Vec::new(),
            studies: Vec::new(),
            visits: Vec::new(),
            bills: Vec::new(),
            assessments: Vec::new(),
            overrides: Vec::new(),
            subscriptions: Vec::new(),
            deliveries: Vec::new(),
        };
        for month in months(count, now, zone) {
            made.people(&mut dice, &month, now, zone);
            made.visits(&mut dice, &month, now, &staff);
            made.studies(&mut dice, &month, now, &staff);
            made.bills(&mut dice, &month, now, [currency, other]);
            made.words(&mut dice, &month, now);
        }
        made
    }

    fn people(&mut self, dice: &mut Dice, month: &Month, now: Instant, zone: Tz) {
        // The first and the last second of a month are its own.
        let borders = [month.start, month.end - TimeDelta::seconds(1)];
        let count = 30 + u64::from(month.number) + dice.below(20);
        let within: Vec<Instant> = (0..count).map(|_| moment(dice, month)).collect();
        let today = now.with_timezone(&zone).date_naive();
        for at in borders.into_iter().chain(within).filter(|at| *at <= now) {
            let sex = match dice.below(100) {
                0..50 => Sex::Male,
                50..94 => Sex::Female,
                94..98 => Sex::Other,
                _ => Sex::Unknown,
            };
            // Among the ages those on whose birthday a group begins, today and tomorrow.
            let born_on = match dice.below(100) {
                0..4 => None,
                number @ 4..16 => {
                    let years = [18, 31, 51, 71][(number % 4) as usize];
                    let birthday = today.checked_sub_months(Months::new(years * 12));
                    birthday.and_then(|day| if number % 8 < 4 { Some(day) } else { day.succ_opt() })
                }
                _ => today.checked_sub_days(chrono::Days::new(dice.below(34_000))),
            };
            self.patients.push(Person { at, sex, born_on });
        }
    }

    fn visits(
        &mut self,
        dice: &mut Dice,
        month: &Month,
        now: Instant,
        staff: &[(&'static str, Vec<UserId>)],
    ) {
        let borders = [month.start, month.end - TimeDelta::seconds(1)];
        let count = 90 + 2 * u64::from(month.number) + dice.below(40);
        let within: Vec<Instant> = (0..count).map(|_| moment(dice, month)).collect();
        for starts_at in borders.into_iter().chain(within) {
            let (name, physicians) = &staff[dice.number(staff.len()).min(dice.number(staff.len()))];
            let physician = match physicians.as_slice() {
                [_, others @ ..] if month.is_last && !others.is_empty() => others[dice.number(others.len())],
                all => all[dice.number(all.len())],
            };
            let ahead = TimeDelta::hours(1) + dice.seconds(20 * 86_400);
            let booked_at = (starts_at - ahead).min(now - TimeDelta::seconds(60));
            let was_moved = dice.is(10);
            let booked_first =
                was_moved.then(|| (booked_at - TimeDelta::hours(1), starts_at + TimeDelta::days(20)));
            let cancelled_at = dice.is(6).then(|| booked_at + TimeDelta::seconds(30));
            self.visits.push(Visit {
                visit_id: VisitId::new(),
                patient: dice.number(1 << 20),
                physician,
                specialty: (!dice.is(3)).then_some(*name),
                starts_at,
                booked_at,
                booked_first,
                cancelled_at,
                is_held: cancelled_at.is_none() && starts_at <= now && !dice.is(8),
            });
        }
    }

    fn studies(
        &mut self,
        dice: &mut Dice,
        month: &Month,
        now: Instant,
        staff: &[(&'static str, Vec<UserId>)],
    ) {
        for _ in 0..40 + dice.below(20) {
            let at = moment(dice, month);
            let found_at = (!dice.is(6)).then(|| at + TimeDelta::seconds(20) + spread(dice));
            let found_at = found_at.filter(|found_at| *found_at <= now);
            let mut words = Vec::new();
            if let Some(found_at) = found_at.filter(|_| dice.is(70)) {
                let (finding_id, physicians) = (FindingId::new(), &staff[dice.number(staff.len())].1);
                let physician = physicians[dice.number(physicians.len())];
                let mut said_at = found_at;
                for _ in 0..if dice.is(10) { 2 } else { 1 } {
                    said_at += TimeDelta::seconds(60) + spread(dice);
                    let is_accepted = dice.is(80);
                    words.push(Word { at: said_at, finding_id, physician, is_accepted });
                }
            }
            words.retain(|word| word.at <= now);
            if at <= now {
                let modality = MODALITIES[dice.number(MODALITIES.len()).min(dice.number(MODALITIES.len()))];
                let (patient, is_positive) = (dice.number(1 << 20), dice.is(22));
                self.studies.push(Imaged { at, patient, modality, found_at, is_positive, words });
            }
        }
    }

    fn bills(&mut self, dice: &mut Dice, month: &Month, now: Instant, [main, other]: [Currency; 2]) {
        for _ in 0..60 + dice.below(30) {
            let issued_at = moment(dice, month);
            let currency = if dice.is(85) { main } else { other };
            let minor = 500 + dice.below(60_000) as i64;
            let failed_at = dice.is(8).then(|| issued_at + dice.seconds(3 * 86_400));
            let paid_at = dice.is(88).then(|| issued_at + TimeDelta::days(3) + dice.seconds(20 * 86_400));
            let paid_at = paid_at.filter(|at| *at <= now);
            let refunded = paid_at.filter(|_| dice.is(10)).map(|at| {
                let minor = if dice.is(50) { minor } else { minor / 3 + 1 };
                (at + TimeDelta::hours(1) + dice.seconds(10 * 86_400), minor)
            });
            let is_closed = paid_at.is_none() && dice.is(30);
            let closed_at = is_closed.then(|| issued_at + TimeDelta::days(30)).filter(|at| *at <= now);
            let reminded_at = paid_at.is_none().then(|| issued_at + TimeDelta::days(14));
            if issued_at <= now {
                self.bills.push(Bill {
                    patient: dice.number(1 << 20),
                    currency,
                    minor,
                    issued_at,
                    failed_at: failed_at.filter(|at| *at <= now),
                    paid_at,
                    refunded: refunded.filter(|(at, _)| *at <= now),
                    closed_at,
                    reminded_at: reminded_at.filter(|at| *at <= now),
                });
            }
        }
    }

    /// Assessments, overrides, subscriptions and messages.
    fn words(&mut self, dice: &mut Dice, month: &Month, now: Instant) {
        for _ in 0..30 + dice.below(20) {
            let (at, level) = (moment(dice, month), Urgency::ALL[dice.number(Urgency::ALL.len())]);
            if at <= now {
                self.assessments.push((at, level));
            }
        }
        for _ in 0..dice.below(20) {
            let (at, status) = (moment(dice, month), ["active", "canceled", "trialing"][dice.number(3)]);
            if at <= now {
                self.overrides.extend(dice.is(30).then_some(at));
                self.subscriptions.push((at, status));
            }
        }
        for _ in 0..40 + dice.below(20) {
            let (at, channel) = (moment(dice, month), ["email", "sms", "web_push"][dice.number(3)]);
            if at > now - TimeDelta::minutes(5) {
                continue;
            }
            match dice.below(100) {
                0..6 => self.deliveries.push((at, channel, "suppressed")),
                6..11 => self.deliveries.push((at, channel, "unsent")),
                number => {
                    self.deliveries.push((at, channel, "sent"));
                    let later = at + TimeDelta::seconds(30);
                    match number {
                        11..16 => self.deliveries.push((later, channel, "failed")),
                        16..90 => self.deliveries.push((later, channel, "delivered")),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Some second of a month.
fn moment(dice: &mut Dice, month: &Month) -> Instant {
    month.start + dice.seconds((month.end - month.start).num_seconds())
}

/// Mostly minutes, sometimes days.
fn spread(dice: &mut Dice) -> TimeDelta {
    match dice.below(10) {
        0..6 => dice.seconds(900),
        6..9 => dice.seconds(20_000),
        _ => dice.seconds(900_000),
    }
}
