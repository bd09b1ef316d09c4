//! What every question has in common: whose numbers, of which days, where, and what the caller may see of them.

use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;
use clinical::id::ClinicId;
use clinical::money::Currency;
use clinical::role::Reach;
use gate::{Caller, Problem, Who};
use serde::Deserialize;
use storage::db::{Conn, DbError};
use storage::records::clinic::{Clinic, global_settings};
use storage::records::member::Member;
use utoipa::IntoParams;

use crate::House;
use crate::counts::{self, Counts, Sums};
use crate::keep::{Generation, Place};
use crate::period::{Period, Span, today};
use crate::small::Sight;

/// So many months are shown where nothing else is asked for.
const USUAL_MONTHS: u32 = 12;

/// Which days, and where; the clinic is the caller's.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// The first day, as `2026-01-31`.
    from: Option<NaiveDate>,
    /// The last day.
    to: Option<NaiveDate>,
    /// Where these days are days (IANA), as `Africa/Nairobi`; else where the clinic is.
    time_zone: Option<String>,
    /// Of which sums of money are shown where there is room for one (ISO 4217); else the clinic's.
    #[param(pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
}

/// Which days are meant where none are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usual {
    /// Those of this month.
    ThisMonth,
    /// Those of twelve months, of which this is the last.
    Year,
}

/// A question, ready to be answered.
pub(crate) struct Desk {
    pub rows: Conn,
    pub clinic: ClinicId,
    pub period: Period,
    pub sight: Sight,
    /// The day on which ages are counted: the last one asked for, else today.
    pub age_day: NaiveDate,
    counts: Counts,
    /// How far the numbers were when it was opened.
    place: Place,
    /// What was asked for or set.
    currency: Option<Currency>,
}

impl Desk {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// 400 `invalid-period`, `invalid-time-zone`, `invalid-currency`; 403 `whole-months-only` for whoever is not of the
    /// clinic: two periods that differ by a day would tell of whom that day was.
    pub async fn open(
        House { app, counts }: &House,
        caller: &Caller,
        asked: &Asked,
        usual: Usual,
    ) -> Result<Self, Problem> {
        let mut rows = app.db.of(caller.clinic).read().await?;
        let clinic = Clinic::find(&mut rows, caller.clinic).await?;
        let own_zone = clinic.time_zone.parse().unwrap_or(Tz::UTC);
        let zone = match &asked.time_zone {
            None => own_zone,
            Some(name) => name.parse().map_err(|_| {
                let detail = "timeZone is a name of the IANA time zone database, as Africa/Nairobi";
                Problem::bad_request("invalid-time-zone", detail)
            })?,
        };
        let today = today(app.clock.now(), zone);
        let usual = match usual {
            Usual::ThisMonth => Period::month_of(today, zone),
            Usual::Year => Period::months_until(today, USUAL_MONTHS, zone),
        };
        let period = Period::asked(asked.from, asked.to, usual)?;
        let sight = sight(&mut rows, caller).await?;
        if sight == Sight::NoSmall && (zone != own_zone || !period.is_of_months()) {
            let detail = "who is not of the clinic asks for whole months where the clinic is";
            return Err(Problem::new(http::StatusCode::FORBIDDEN, "whole-months-only", detail));
        }
        let currency = match &asked.currency {
            Some(code) => Some(code.parse().map_err(|_| {
                Problem::bad_request("invalid-currency", "currency is a code of ISO 4217, as KES")
            })?),
            None => own_currency(&mut rows, &clinic).await?,
        };
        let age_day = asked.to.unwrap_or(today);
        let place = Generation::Current.find(&mut rows, "").await?;
        let (clinic, counts) = (caller.clinic, counts.clone());
        Ok(Self { rows, clinic, period, sight, age_day, counts, place, currency })
    }

    /// What was counted of `metrics`, which are words of ours, within each of `spans`, in their order.
    pub async fn within_each(
        &mut self,
        metrics: &[&'static str],
        spans: &[Span],
    ) -> Result<Arc<Vec<Sums>>, DbError> {
        self.counts.within_each(&mut self.rows, self.place, self.clinic, metrics, spans).await
    }

    /// What was counted of `metrics`, which are words of ours, within `span`.
    pub async fn within(&mut self, metrics: &[&'static str], span: Span) -> Result<Sums, DbError> {
        Ok(self.within_each(metrics, &[span]).await?.first().cloned().unwrap_or_default())
    }

    /// In which currency sums are shown: as asked, else as set, else the one in which most was ever paid.
    pub async fn currency(&mut self) -> Result<Option<Currency>, Problem> {
        if self.currency.is_some() {
            return Ok(self.currency);
        }
        let payments = counts::ever(&mut self.rows, self.clinic, &["payments"]).await?;
        // Of as many the first by its code.
        let most = payments.kinds("payments").max_by_key(|(code, count)| (*count, std::cmp::Reverse(*code)));
        Ok(most.and_then(|(code, _)| code.parse().ok()))
    }
}

/// Members see all of their clinic's numbers, as do its own keys and whoever runs the whole installation.
async fn sight(rows: &mut Conn, caller: &Caller) -> Result<Sight, Problem> {
    let (Reach::Every, Who::User { user_id, .. }) = (caller.reach, caller.who) else { return Ok(Sight::All) };
    match Member::of(rows, caller.clinic, user_id).await {
        Ok(_) => Ok(Sight::All),
        Err(DbError::NotFound) => Ok(Sight::NoSmall),
        Err(error) => Err(error.into()),
    }
}

/// The setting `currency`, of the clinic or of all.
async fn own_currency(rows: &mut Conn, clinic: &Clinic) -> Result<Option<Currency>, Problem> {
    const NAME: &str = "currency";
    let code = match clinic.settings.get(NAME) {
        Some(code) => code.as_str().map(str::to_owned),
        None => global_settings(rows).await?.get(NAME).and_then(|code| code.as_str().map(str::to_owned)),
    };
    Ok(code.and_then(|code| code.parse().ok()))
}
