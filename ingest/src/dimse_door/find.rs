//! The matches of a C-FIND, told page by page.

use std::collections::HashMap;

use clinical::id::{ClinicId, SeriesId, StudyId};
use storage::db::{Conn, Db, DbError};
use storage::records::search::{self, FoundInstance, FoundPatient, FoundSeries, FoundStudy, Search};
use uuid::Uuid;

use super::answer::{Asked, Found};
use crate::scp::StoreStatus;
use crate::scp::query::{Level, Match, Matches};

/// Matches of one page.
const PAGE: usize = 100;
/// Most matches of one query; who asks for more has to ask more precisely.
const MOST: u32 = 100_000;

/// What a query matches.
pub struct HallMatches {
    db: Db,
    clinic: ClinicId,
    level: Level,
    search: Search,
    asked: Asked,
    /// What matches, as far as it was looked up: the first page at once, all the rest with the second.
    ids: Vec<Uuid>,
    told: usize,
    is_looked_up: bool,
}

impl HallMatches {
    /// The matches of `search` at `level` in one clinic, whose handle `db` is.
    pub(super) fn new(db: Db, clinic: ClinicId, level: Level, search: Search, asked: Asked) -> Self {
        Self { db, clinic, level, search, asked, ids: Vec::new(), told: 0, is_looked_up: false }
    }

    async fn page(&mut self) -> Result<Vec<Match>, DbError> {
        let mut rows = self.db.read().await?;
        if self.told == self.ids.len() && !self.is_looked_up {
            let is_first = self.ids.is_empty();
            self.search.offset = self.ids.len() as u32;
            self.search.limit = if is_first { PAGE as u32 } else { MOST + 1 - self.search.offset };
            let found = self.ids_of(&mut rows).await?;
            self.is_looked_up = found.len() < self.search.limit as usize || !is_first;
            self.ids.extend(found);
        }
        loop {
            let end = self.ids.len().min(self.told + PAGE).min(MOST as usize);
            let ids = &self.ids[self.told..end];
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let page = self.matches(&mut rows, ids).await?;
            self.told = end;
            // what was removed meanwhile leaves a gap, not an end
            if !page.is_empty() {
                return Ok(page);
            }
        }
    }

    async fn ids_of(&self, rows: &mut Conn) -> Result<Vec<Uuid>, DbError> {
        let level = match self.level {
            Level::Patient => return self.search.patient_ids(rows, self.clinic).await,
            Level::Study => search::Level::Study,
            Level::Series => search::Level::Series,
            Level::Image => search::Level::Instance,
        };
        self.search.ids(rows, self.clinic, level).await
    }

    async fn matches(&self, rows: &mut Conn, ids: &[Uuid]) -> Result<Vec<Match>, DbError> {
        let (clinic, asked) = (self.clinic, &self.asked);
        Ok(match self.level {
            Level::Patient => {
                let found = FoundPatient::of(rows, clinic, ids).await?;
                // whose studies were all removed meanwhile is nobody of whom there are images
                let shown = found.iter().filter(|patient| patient.study_count > 0);
                shown.map(|patient| asked.answer(Found::Patient(patient))).collect()
            }
            Level::Study => {
                let mut found = FoundStudy::in_order(rows, clinic, ids).await?;
                self.add_sop_classes(rows, &mut found).await?;
                found.iter().map(|study| asked.answer(Found::Study(study))).collect()
            }
            Level::Series => {
                let found = FoundSeries::in_order(rows, clinic, ids).await?;
                let studies = self.studies(rows, found.iter().map(|series| series.study_id)).await?;
                let of = |series| asked.answer(Found::Series(series, studies.get(&series.study_id)));
                found.iter().map(of).collect()
            }
            Level::Image => {
                let found = FoundInstance::in_order(rows, clinic, ids).await?;
                let studies = self.studies(rows, found.iter().map(|it| it.study_id)).await?;
                let series = self.series(rows, found.iter().map(|it| it.series_id)).await?;
                let of = |it: &FoundInstance| {
                    asked.answer(Found::Image(it, series.get(&it.series_id), studies.get(&it.study_id)))
                };
                found.iter().map(of).collect()
            }
        })
    }

    async fn studies(
        &self,
        rows: &mut Conn,
        ids: impl Iterator<Item = StudyId>,
    ) -> Result<HashMap<StudyId, FoundStudy>, DbError> {
        if !self.asked.needs_study() {
            return Ok(HashMap::new());
        }
        let mut found = FoundStudy::of(rows, self.clinic, &distinct(ids)).await?;
        self.add_sop_classes(rows, &mut found).await?;
        Ok(found.into_iter().map(|study| (study.study_id, study)).collect())
    }

    async fn add_sop_classes(&self, rows: &mut Conn, studies: &mut [FoundStudy]) -> Result<(), DbError> {
        if self.asked.needs_sop_classes() {
            FoundStudy::add_sop_classes(rows, self.clinic, studies).await?;
        }
        Ok(())
    }

    async fn series(
        &self,
        rows: &mut Conn,
        ids: impl Iterator<Item = SeriesId>,
    ) -> Result<HashMap<SeriesId, FoundSeries>, DbError> {
        if !self.asked.needs_series() {
            return Ok(HashMap::new());
        }
        let found = FoundSeries::of(rows, self.clinic, &distinct(ids)).await?;
        Ok(found.into_iter().map(|series| (series.series_id, series)).collect())
    }
}

fn distinct<T: Ord>(ids: impl Iterator<Item = T>) -> Vec<T> {
    let mut ids: Vec<T> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl Matches for HallMatches {
    async fn next_page(&mut self) -> Result<Vec<Match>, StoreStatus> {
        let page = self.page().await.map_err(|error| super::database_failed(&error))?;
        if page.is_empty() && self.ids.len() > MOST as usize {
            let comment = format!("there are more than {MOST} matches: ask more precisely");
            return Err(StoreStatus::new(StoreStatus::OUT_OF_RESOURCES, comment));
        }
        Ok(page)
    }
}
