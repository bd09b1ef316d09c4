//! What analytics must answer: counted by looking at every invented thing, and by no code of analytics.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, Months, NaiveDate};
use chrono_tz::Tz;
use clinical::decision::Urgency;
use clinical::money::{Currency, Money};
use clinical::person::Sex;
use serde_json::{Value, json};

use super::invented::{Activity, Bill, Imaged, Instant, Visit, Word};

const COLOURS: [&str; 8] =
    ["#8884d8", "#82ca9d", "#ffc658", "#ff8042", "#0088fe", "#00c49f", "#ffbb28", "#a4de6c"];

/// Year and month of a moment where the clinic is.
type Month = (i32, u32);

/// The clinic's calendar.
struct Calendar {
    zone: Tz,
    today: NaiveDate,
}

impl Calendar {
    fn month(&self, at: Instant) -> Month {
        let day = at.with_timezone(&self.zone).date_naive();
        (day.year(), day.month())
    }

    /// The month so many before this one.
    fn back(&self, months: u32) -> Month {
        let first = self.today.with_day(1).unwrap_or(self.today);
        let day = first.checked_sub_months(Months::new(months)).unwrap_or(first);
        (day.year(), day.month())
    }

    fn first_day(&self) -> NaiveDate {
        self.today.with_day(1).unwrap_or(self.today)
    }

    fn last_day(&self) -> NaiveDate {
        let next = self.first_day().checked_add_months(Months::new(1));
        next.and_then(|next| next.pred_opt()).unwrap_or(self.today)
    }
}

/// The answers by their paths, as they are without parameters.
pub(super) fn answers(made: &Activity, now: Instant, zone: Tz) -> Value {
    let calendar = Calendar { zone, today: now.with_timezone(&zone).date_naive() };
    json!({
        "/api/analytics/stats": stats(made, &calendar),
        "/api/analytics/monthly-trends": trends(made, &calendar),
        "/api/analytics/specialties": specialties(made, &calendar),
        "/api/analytics/demographics": demographics(made, &calendar),
        "/api/analytics/imaging": imaging(made, &calendar),
        "/api/analytics/triage": triage(made, &calendar),
        "/api/analytics/billing": billing(made, &calendar),
        "/api/analytics/notifications": notifications(made, &calendar),
    })
}

/// To a tenth, halves away from zero.
fn percent(part: i64, whole: i64) -> Value {
    if whole <= 0 {
        return Value::Null;
    }
    json!((part as f64 * 1_000.0 / whole as f64).round() / 10.0)
}

fn decimal(minor: i64, currency: Currency) -> Value {
    json!(Money::new(minor, currency).decimal())
}

/// What came in within a month and did not go back within it.
fn revenue(made: &Activity, calendar: &Calendar, currency: Currency, month: Month) -> i64 {
    let is_in = |at: Instant| calendar.month(at) == month;
    let of = |bill: &Bill| {
        let paid = if bill.paid_at.is_some_and(is_in) { bill.minor } else { 0 };
        let back = bill.refunded.filter(|(at, _)| is_in(*at)).map_or(0, |(_, minor)| minor);
        paid - back
    };
    made.bills.iter().filter(|bill| bill.currency == currency).map(of).sum()
}

/// The words that stand: of each finding the last.
fn words(made: &Activity) -> impl Iterator<Item = &Word> {
    made.studies.iter().filter_map(|study| study.words.last())
}

/// The visits that were not cancelled.
fn kept(made: &Activity) -> impl Iterator<Item = &Visit> {
    made.visits.iter().filter(|visit| visit.cancelled_at.is_none())
}

fn physicians(made: &Activity, calendar: &Calendar, month: Month) -> i64 {
    let of_visits =
        kept(made).filter(|visit| calendar.month(visit.starts_at) == month).map(|it| it.physician);
    let of_words = words(made).filter(|word| calendar.month(word.at) == month).map(|word| word.physician);
    of_visits.chain(of_words).collect::<BTreeSet<_>>().len() as i64
}

fn visits(made: &Activity, calendar: &Calendar, month: Month) -> i64 {
    kept(made).filter(|visit| calendar.month(visit.starts_at) == month).count() as i64
}

fn stats(made: &Activity, calendar: &Calendar) -> Value {
    let (this, last) = (calendar.back(0), calendar.back(1));
    let patients = |until: Month| {
        made.patients.iter().filter(|person| calendar.month(person.at) <= until).count() as i64
    };
    let change = |now: i64, before: i64| percent(now - before, before);
    let sums = |month| revenue(made, calendar, made.currency, month);
    json!({
        "totalPatients": patients(this),
        "appointmentsThisMonth": visits(made, calendar, this),
        "revenue": decimal(sums(this), made.currency),
        "activePhysicians": physicians(made, calendar, this),
        "patientChangePercent": change(patients(this), patients(last)),
        "appointmentChangePercent": change(visits(made, calendar, this), visits(made, calendar, last)),
        "revenueChangePercent": change(sums(this), sums(last)),
        "physicianChangePercent": change(physicians(made, calendar, this), physicians(made, calendar, last)),
        "currency": made.currency.code(),
        "from": calendar.first_day(),
        "to": calendar.last_day(),
        "timeZone": calendar.zone.name(),
    })
}

fn trends(made: &Activity, calendar: &Calendar) -> Value {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = |back: u32| {
        let (year, number) = calendar.back(back);
        let is_in = |at: Instant| calendar.month(at) == (year, number);
        json!({
            "month": NAMES[number as usize - 1],
            "patients": made.patients.iter().filter(|person| is_in(person.at)).count(),
            "appointments": visits(made, calendar, (year, number)),
            "revenue": decimal(revenue(made, calendar, made.currency, (year, number)), made.currency),
            "year": year,
        })
    };
    (0..12).rev().map(month).collect()
}

fn specialties(made: &Activity, calendar: &Calendar) -> Value {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    let months = calendar.back(11)..=calendar.back(0);
    for visit in kept(made).filter(|visit| months.contains(&calendar.month(visit.starts_at))) {
        *counts.entry(visit.specialty.unwrap_or("Unspecified")).or_default() += 1;
    }
    let whole: i64 = counts.values().sum();
    let mut slices: Vec<(&str, i64)> = counts.into_iter().collect();
    slices.sort_by_key(|(name, count)| (-count, *name));
    let slice = |(number, (name, count)): (usize, (&str, i64))| {
        json!({
            "name": name,
            "value": count,
            "color": COLOURS[number % COLOURS.len()],
            "percent": percent(count, whole),
        })
    };
    slices.into_iter().enumerate().map(slice).collect()
}

fn demographics(made: &Activity, calendar: &Calendar) -> Value {
    let of_sex = |sex: Sex| made.patients.iter().filter(|person| person.sex == sex).count();
    let aged = |from: u32, to: u32| {
        let ages = made.patients.iter().filter_map(|person| calendar.today.years_since(person.born_on?));
        ages.filter(|age| (from..=to).contains(age)).count()
    };
    json!({
        "malePatients": of_sex(Sex::Male),
        "femalePatients": of_sex(Sex::Female),
        "ageGroups": {
            "18-30": aged(18, 30),
            "31-50": aged(31, 50),
            "51-70": aged(51, 70),
            "70+": aged(71, 200),
            "0-17": aged(0, 17),
            "unknown": made.patients.iter().filter(|person| person.born_on.is_none()).count(),
        },
        "otherPatients": of_sex(Sex::Other),
        "unknownPatients": of_sex(Sex::Unknown),
        "on": calendar.today,
    })
}

/// How often a step took how long.
fn turnaround(took: &[i64]) -> Value {
    let bounds = [60, 600, 3_600, 14_400, 86_400, 604_800];
    let mut before = -1;
    let mut within = Vec::new();
    for bound in bounds {
        let count = took.iter().filter(|seconds| (before + 1..=bound).contains(*seconds)).count();
        within.push(json!({"upToSeconds": bound, "count": count}));
        before = bound;
    }
    let longer = took.iter().filter(|seconds| **seconds > before).count();
    within.push(json!({"upToSeconds": null, "count": longer}));
    let mean = (!took.is_empty()).then(|| took.iter().sum::<i64>() / took.len() as i64);
    json!({"count": took.len(), "meanSeconds": mean, "within": within})
}

fn imaging(made: &Activity, calendar: &Calendar) -> Value {
    let this = calendar.back(0);
    let studies: Vec<&Imaged> =
        made.studies.iter().filter(|study| calendar.month(study.at) == this).collect();
    let read = |studies: &[&Imaged]| studies.iter().filter(|study| study.found_at.is_some()).count() as i64;
    let positive = |studies: &[&Imaged]| {
        studies.iter().filter(|study| study.found_at.is_some() && study.is_positive).count() as i64
    };
    let mut modalities: BTreeMap<&str, Vec<&Imaged>> = BTreeMap::new();
    for study in &studies {
        modalities.entry(study.modality).or_default().push(study);
    }
    let mut by_modality: Vec<(&str, Vec<&Imaged>)> = modalities.into_iter().collect();
    by_modality.sort_by_key(|(name, studies)| (std::cmp::Reverse(studies.len()), *name));
    let line = |(modality, studies): (&str, Vec<&Imaged>)| {
        json!({
            "modality": modality,
            "studies": studies.len(),
            "read": read(&studies),
            "positive": positive(&studies),
            "positivePercent": percent(positive(&studies), read(&studies)),
        })
    };
    let seconds = |from: Option<Instant>, to: Option<Instant>| Some((to? - from?).num_seconds());
    let said = |study: &Imaged| study.words.first().map(|word| word.at);
    let all = |step: &dyn Fn(&Imaged) -> Option<i64>| -> Vec<i64> {
        studies.iter().filter_map(|study| step(study)).collect()
    };
    let (accepted, rejected): (Vec<&Word>, Vec<&Word>) =
        words(made).filter(|word| calendar.month(word.at) == this).partition(|word| word.is_accepted);
    let reviewed = accepted.len() + rejected.len();
    json!({
        "from": calendar.first_day(),
        "to": calendar.last_day(),
        "timeZone": calendar.zone.name(),
        "studies": studies.len(),
        "read": read(&studies),
        "positive": positive(&studies),
        "positivePercent": percent(positive(&studies), read(&studies)),
        "reviewed": studies.iter().filter(|study| !study.words.is_empty()).count(),
        "byModality": by_modality.into_iter().map(line).collect::<Vec<_>>(),
        "turnaround": {
            "receiptToFinding": turnaround(&all(&|study| seconds(Some(study.at), study.found_at))),
            "findingToReview": turnaround(&all(&|study| seconds(study.found_at, said(study)))),
            "receiptToReview": turnaround(&all(&|study| seconds(Some(study.at), said(study)))),
        },
        "agreement": {
            "reviewed": reviewed,
            "accepted": accepted.len(),
            "rejected": rejected.len(),
            "agreementPercent": percent(accepted.len() as i64, reviewed as i64),
        },
    })
}

fn triage(made: &Activity, calendar: &Calendar) -> Value {
    let this: Vec<Urgency> = made
        .assessments
        .iter()
        .filter(|(at, _)| calendar.month(*at) == calendar.back(0))
        .map(|(_, urgency)| *urgency)
        .collect();
    let count = |urgency: &Urgency| this.iter().filter(|it| *it == urgency).count();
    let emergencies = count(&Urgency::Emergency) + count(&Urgency::EmergencyAmbulance);
    let levels = Urgency::ALL.map(|urgency| json!({"urgency": urgency, "count": count(&urgency)}));
    json!({
        "from": calendar.first_day(),
        "to": calendar.last_day(),
        "timeZone": calendar.zone.name(),
        "assessments": this.len(),
        "byUrgency": levels,
        "emergencyPercent": percent(emergencies as i64, this.len() as i64),
        "overrides": made.overrides.iter().filter(|at| calendar.month(**at) == calendar.back(0)).count(),
    })
}

fn billing(made: &Activity, calendar: &Calendar) -> Value {
    let this = calendar.back(0);
    let is_in = |at: Option<Instant>| at.is_some_and(|at| calendar.month(at) == this);
    let currencies: BTreeSet<Currency> = made.bills.iter().map(|bill| bill.currency).collect();
    let line = |currency: &Currency| {
        let sum = |when: &dyn Fn(&Bill) -> Option<Instant>, how_much: &dyn Fn(&Bill) -> i64| {
            let of_month: Vec<&Bill> =
                made.bills.iter().filter(|bill| bill.currency == *currency && is_in(when(bill))).collect();
            (of_month.len(), of_month.into_iter().map(how_much).sum::<i64>())
        };
        let all = |bill: &Bill| bill.minor;
        let issued = sum(&|bill| Some(bill.issued_at), &all);
        let (paid, failed) = (sum(&|bill| bill.paid_at, &all), sum(&|bill| bill.failed_at, &all));
        let closed = sum(&|bill| bill.closed_at, &all);
        let back =
            sum(&|bill| bill.refunded.map(|(at, _)| at), &|bill| bill.refunded.map_or(0, |(_, minor)| minor));
        let any = [issued, paid, failed, closed, back].iter().any(|(count, _)| *count > 0);
        any.then(|| {
            json!({
                "currency": currency.code(),
                "revenueMinor": paid.1 - back.1,
                "invoicesIssued": issued.0,
                "issuedMinor": issued.1,
                "invoicesPaid": paid.0,
                "paidMinor": paid.1,
                "invoicesClosed": closed.0,
                "closedMinor": closed.1,
                "payments": paid.0,
                "receivedMinor": paid.1,
                "paymentsFailed": failed.0,
                "refunds": back.0,
                "refundedMinor": back.1,
                "disputedMinor": 0,
            })
        })
    };
    let mut statuses: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, status) in made.subscriptions.iter().filter(|(at, _)| is_in(Some(*at))) {
        *statuses.entry(status).or_default() += 1;
    }
    let status = |(status, count): (&str, i64)| json!({"status": status, "count": count});
    json!({
        "from": calendar.first_day(),
        "to": calendar.last_day(),
        "timeZone": calendar.zone.name(),
        "byCurrency": currencies.iter().filter_map(line).collect::<Vec<_>>(),
        "reminders": made.bills.iter().filter(|bill| is_in(bill.reminded_at)).count(),
        "subscriptions": statuses.into_iter().map(status).collect::<Vec<_>>(),
    })
}

fn notifications(made: &Activity, calendar: &Calendar) -> Value {
    let mut channels: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
    for (at, channel, state) in &made.deliveries {
        if calendar.month(*at) == calendar.back(0) {
            *channels.entry(channel).or_default().entry(state).or_default() += 1;
        }
    }
    let line = |(channel, states): (&str, BTreeMap<&str, i64>)| {
        let of = |state| states.get(state).copied().unwrap_or(0);
        json!({
            "channel": channel,
            "sent": of("sent"),
            "delivered": of("delivered"),
            "suppressed": of("suppressed"),
            "failed": of("failed") + of("unsent"),
            "failedPercent": percent(of("failed").min(of("sent")), of("sent")),
        })
    };
    json!({
        "from": calendar.first_day(),
        "to": calendar.last_day(),
        "timeZone": calendar.zone.name(),
        "byChannel": channels.into_iter().map(line).collect::<Vec<_>>(),
    })
}
