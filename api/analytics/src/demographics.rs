//! Who the patients are: administrative sex and age.

use axum::extract::State;
use chrono::{Datelike, NaiveDate};
use clinical::person::Sex;
use gate::{Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::House;
use crate::batch::day_number;
use crate::counts::{self, People};
use crate::desk::{Asked, Desk, Usual};
use crate::table::{Cell, Kind, Table, Tabled, text};

/// From these ages on, in years, somebody is in the next group: 18, 31, 51 and 71.
const AGES: [i32; 4] = [18, 31, 51, 71];

/// `GET /api/analytics/demographics`, as the clinic application that was there first asks for it, and beside it whom its
/// groups leave out. Each patient is of one sex and of one age; `null`: too few to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DemographicsView {
    /// Male patients.
    pub male_patients: Option<i64>,
    /// Female patients.
    pub female_patients: Option<i64>,
    /// Patients by age.
    pub age_groups: AgeGroupsView,
    /// Patients of another sex.
    pub other_patients: Option<i64>,
    /// Patients whose sex nobody said.
    pub unknown_patients: Option<i64>,
    /// On this day they are so old.
    pub on: NaiveDate,
}

/// Patients by age, in years that are full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AgeGroupsView {
    /// 18 to 30.
    #[serde(rename = "18-30")]
    pub from_18: Option<i64>,
    /// 31 to 50.
    #[serde(rename = "31-50")]
    pub from_31: Option<i64>,
    /// 51 to 70.
    #[serde(rename = "51-70")]
    pub from_51: Option<i64>,
    /// 71 and more.
    #[serde(rename = "70+")]
    pub over_70: Option<i64>,
    /// Under 18.
    #[serde(rename = "0-17")]
    pub under_18: Option<i64>,
    /// Whose birth date nobody said.
    pub unknown: Option<i64>,
}

/// The last day on which somebody was born who is `years` old on `day`. Who was born on 29 February is a year older on
/// 1 March where there is none.
fn born_by(day: NaiveDate, years: i32) -> NaiveDate {
    let year = day.year() - years;
    day.with_year(year).or_else(|| NaiveDate::from_ymd_opt(year, 2, 28)).unwrap_or(day)
}

impl DemographicsView {
    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        let on = desk.age_day;
        // Who was born a day later is not yet so old.
        let youngest = AGES.map(|years| day_number(born_by(on, years)) + 1);
        let people = counts::people(&mut desk.rows, desk.clinic, youngest).await?;
        let sum = |is_one: &dyn Fn(&People) -> bool| -> i64 {
            people.iter().filter(|people| is_one(people)).map(|people| people.count).sum()
        };
        let by_sex: Vec<i64> = [Sex::Male, Sex::Female, Sex::Other, Sex::Unknown]
            .iter()
            .map(|sex| sum(&|people| people.sex == *sex))
            .collect();
        let groups = [Some(1), Some(2), Some(3), Some(4), Some(0), None];
        let by_age: Vec<i64> = groups.iter().map(|group| sum(&|people| people.group == *group)).collect();
        let (by_sex, by_age) = (desk.sight.parts(&by_sex), desk.sight.parts(&by_age));
        let at = |counts: &[Option<i64>], place: usize| counts.get(place).copied().flatten();
        Ok(Self {
            male_patients: at(&by_sex, 0),
            female_patients: at(&by_sex, 1),
            age_groups: AgeGroupsView {
                from_18: at(&by_age, 0),
                from_31: at(&by_age, 1),
                from_51: at(&by_age, 2),
                over_70: at(&by_age, 3),
                under_18: at(&by_age, 4),
                unknown: at(&by_age, 5),
            },
            other_patients: at(&by_sex, 2),
            unknown_patients: at(&by_sex, 3),
            on,
        })
    }
}

impl Tabled for DemographicsView {
    fn table(&self) -> Table {
        let ages = &self.age_groups;
        let rows = [
            ("sex", "male", self.male_patients),
            ("sex", "female", self.female_patients),
            ("sex", "other", self.other_patients),
            ("sex", "unknown", self.unknown_patients),
            ("age", "0-17", ages.under_18),
            ("age", "18-30", ages.from_18),
            ("age", "31-50", ages.from_31),
            ("age", "51-70", ages.from_51),
            ("age", "70+", ages.over_70),
            ("age", "unknown", ages.unknown),
        ];
        Table {
            columns: &[("by", Kind::Text), ("group", Kind::Text), ("patients", Kind::Whole)],
            rows: rows.map(|(by, group, count)| vec![text(by), text(group), Cell::Whole(count)]).into(),
        }
    }
}

/// `GET /api/analytics/demographics`
pub(crate) async fn demographics(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<DemographicsView>, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, Usual::ThisMonth).await?;
    Ok(Json(DemographicsView::of(&mut desk).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn somebody_is_eighteen_from_their_birthday_on() {
        assert_eq!(born_by(day("2026-11-22"), 18), day("2008-11-22"));
        assert_eq!(
            born_by(day("2026-02-28"), 18),
            day("2008-02-28"),
            "of 29 February 2008 it is a day too early"
        );
        assert_eq!(born_by(day("2026-03-01"), 18), day("2008-03-01"));
        assert_eq!(born_by(day("2028-02-29"), 18), day("2010-02-28"));
    }
}
