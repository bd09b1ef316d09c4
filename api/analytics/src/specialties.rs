//! What visits are for.

use axum::extract::State;
use gate::{Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::House;
use crate::desk::{Asked, Desk, Usual};
use crate::small::share_percent;
use crate::table::{Cell, Kind, Table, Tabled, text};

/// The colours of the slices, in their order, and again from the first: that of the clinic application that was there
/// first, and those that its charts' library shows beside it.
const COLOURS: [&str; 8] =
    ["#8884d8", "#82ca9d", "#ffc658", "#ff8042", "#0088fe", "#00c49f", "#ffbb28", "#a4de6c"];
/// So many specialties have a slice of their own.
const SLICES: usize = 50;
/// The name of the visits of all others.
const OTHERS: &str = "Other";
/// The name of the visits of which none was said.
const NONE: &str = "Unspecified";

/// One slice of `GET /api/analytics/specialties`, as the clinic application that was there first asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpecialtyView {
    /// The specialty, in the clinic's own words.
    pub name: String,
    /// The visits for it; `null`: too few to be shown.
    pub value: Option<i64>,
    /// Its colour, `#rrggbb`.
    pub color: String,
    /// The share of all visits.
    pub percent: Option<f64>,
}

/// The specialties of a period, the most visited first, those of as many by their names.
pub(crate) struct Specialties(pub Vec<SpecialtyView>);

impl Specialties {
    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        let sums = desk.within(&["visits"], desk.period.span()).await?;
        let named = |(name, count): (&str, i64)| {
            (if name.is_empty() { NONE.to_owned() } else { name.to_owned() }, count)
        };
        let mut slices: Vec<(String, i64)> = sums.kinds("visits").map(named).collect();
        slices.sort_by(|(name, count), (other, others)| others.cmp(count).then_with(|| name.cmp(other)));
        if slices.len() > SLICES {
            let rest = slices.split_off(SLICES).into_iter().map(|(_, count)| count).sum();
            slices.push((OTHERS.to_owned(), rest));
        }
        let counts: Vec<i64> = slices.iter().map(|(_, count)| *count).collect();
        let whole = counts.iter().sum();
        let shown = desk.sight.parts(&counts);
        let views = slices.into_iter().zip(shown).zip(COLOURS.iter().cycle());
        let view = |(((name, count), value), color): (((String, i64), Option<i64>), &&str)| SpecialtyView {
            name,
            value,
            color: (*color).to_owned(),
            percent: value.and_then(|_| share_percent(count, whole)),
        };
        Ok(Self(views.map(view).collect()))
    }
}

impl Tabled for Specialties {
    fn table(&self) -> Table {
        let row = |slice: &SpecialtyView| {
            vec![text(&slice.name), Cell::Whole(slice.value), Cell::Number(slice.percent), text(&slice.color)]
        };
        Table {
            columns: &[
                ("name", Kind::Text),
                ("value", Kind::Whole),
                ("percent", Kind::Number),
                ("color", Kind::Text),
            ],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

/// `GET /api/analytics/specialties`
pub(crate) async fn specialties(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<SpecialtyView>>, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, Usual::Year).await?;
    Ok(Json(Specialties::of(&mut desk).await?.0))
}
