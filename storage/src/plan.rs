//! For tests of this and other rooms: how the engine means to run each statement of a piece of code.

use std::cell::RefCell;

use crate::db::{Conn, Db, Raw, Result, Row, built_sql};
use crate::statement::Statement;

tokio::task_local! {
    static PLANS: RefCell<Vec<String>>;
}

/// How the engine means to run `statement`.
pub(crate) async fn of(statement: &Statement, db: &mut Conn) -> Result<String> {
    let text = statement.text();
    let asked = |explain: &str| statement.with_text(format!("{explain} {}", text.as_str()));
    let lines: Result<Vec<String>> = match db.raw() {
        Raw::Sqlite(conn, before) => {
            assert!(before.is_empty(), "what begins a transaction runs with its first statement");
            let rows = asked("EXPLAIN QUERY PLAN").sqlite(&[])?.fetch_all(conn).await?;
            rows.into_iter().map(|row| Row::Sqlite(row).get("detail")).collect()
        }
        Raw::Postgres(conn) => {
            let rows = asked("EXPLAIN").postgres()?.fetch_all(conn).await?;
            rows.into_iter().map(|row| Row::Postgres(row).get(0)).collect()
        }
    };
    Ok(lines?.join("\n"))
}

/// Keeps the plan of `statement` when somebody listens; called before it runs.
pub(crate) async fn note(statement: &Statement, db: &mut Conn) -> Result<()> {
    if PLANS.try_with(|_| ()).is_ok() {
        let plan = of(statement, db).await?;
        PLANS.with(|plans| plans.borrow_mut().push(plan));
    }
    Ok(())
}

/// The plans of what `work` fetches; with few rows PostgreSQL would pass by every index, and is told not to.
async fn plans_of(db: &Db, work: impl AsyncFnOnce(&mut Conn)) -> Vec<String> {
    let mut tx = db.begin().await.expect("the database answers");
    let settings: &[&str] = match db.engine() {
        "SQLite" => &["SELECT 1"],
        _ => &["SET LOCAL enable_seqscan = off", "SET LOCAL enable_bitmapscan = off"],
    };
    for setting in settings {
        built_sql((*setting).to_owned()).execute(&mut tx).await.expect("the engine takes it");
    }
    let watched = async {
        work(&mut tx).await;
        PLANS.with(RefCell::take)
    };
    PLANS.scope(RefCell::default(), watched).await
}

/// Asserts that what `work` fetches is read along one of `indexes` (the engines name some differently), and that no
/// row is sorted but those of the page: else every row would have to be seen.
///
/// # Panics
///
/// Where it does not hold.
pub async fn assert_reads_along(db: &Db, indexes: &[&str], work: impl AsyncFnOnce(&mut Conn)) {
    let plans = plans_of(db, work).await;
    let along = |plan: &String| indexes.iter().any(|index| plan.contains(index));
    assert!(plans.iter().any(along), "{indexes:?} are not used: {plans:#?}");
    for plan in &plans {
        // PostgreSQL writes what a step reads below it: a page that is sorted has its limit there.
        let below_limit = plan.split_once("Limit").map_or(plan.as_str(), |(_, below)| below);
        let sorts = |line: &str| {
            let step = line.trim_start_matches([' ', '-', '>']);
            step.starts_with("Sort ") || (step.contains("TEMP B-TREE") && !step.contains("FOR LAST"))
        };
        assert!(!below_limit.lines().any(sorts), "{indexes:?}: {plan}");
    }
}

/// Asserts that what `work` fetches is looked up by `index`, and no table is looked through; few rows may be sorted.
///
/// # Panics
///
/// Where it does not hold.
pub async fn assert_looks_up(db: &Db, index: &str, work: impl AsyncFnOnce(&mut Conn)) {
    let plan = plans_of(db, work).await.join("\n");
    assert!(plan.contains(index), "{index} is not used: {plan}");
    assert!(!plan.contains("Seq Scan"), "{index}: {plan}");
    let through = plan.lines().find(|line| line.starts_with("SCAN") && !line.contains("CONSTANT"));
    assert!(through.is_none(), "{through:?} in {plan}");
}

/// Asserts that the first statement, which chooses a page, is read along `index`, and that no more is sorted for it
/// than what stands at one place of the index.
///
/// # Panics
///
/// Where it does not hold.
pub async fn assert_pages_along(db: &Db, index: &str, work: impl AsyncFnOnce(&mut Conn)) {
    let plan = plans_of(db, work).await.swap_remove(0);
    assert!(plan.contains(index), "{index} is not used: {plan}");
    let sorts = plan.replace("Incremental Sort", "");
    assert!(!sorts.contains("USE TEMP B-TREE FOR ORDER BY") && !sorts.contains("Sort  ("), "{index}: {plan}");
}
