//! PostgreSQL's row-level security, which stands behind the queries: whose rows a connection sees.
//!
//! The setting `app.clinic` says it: `*` for the system, from the connection's
//! first moment; a clinic's identifier for as long as one of its transactions
//! runs. The policies are those of the migration `0009_row_level_security`.

use clinical::id::ClinicId;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, SqlSafeStr, SqlStr};

/// Makes a new connection the system's.
pub(crate) async fn be_the_system(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT set_config('app.clinic', '*', false)").execute(conn).await.map(|_| ())
}

/// Opens a transaction that sees one clinic, in one trip.
pub(crate) fn begin(clinic: ClinicId) -> SqlStr {
    // A UUID's text is hexadecimal digits and hyphens, whoever chose them.
    AssertSqlSafe(format!("BEGIN; SET LOCAL app.clinic = '{clinic}'")).into_sql_str()
}

/// As [`begin`], for reading.
pub(crate) fn begin_read_only(clinic: ClinicId) -> SqlStr {
    AssertSqlSafe(format!("BEGIN READ ONLY; SET LOCAL app.clinic = '{clinic}'")).into_sql_str()
}

/// Whether the policies do not hold for this role.
pub(crate) async fn bypasses(pool: &PgPool) -> sqlx::Result<bool> {
    let sql = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
    sqlx::query_scalar(sql).fetch_one(pool).await
}

/// Whether this role may make tables.
pub(crate) async fn may_change_schema(pool: &PgPool) -> sqlx::Result<bool> {
    let sql = "SELECT COALESCE(has_schema_privilege(current_schema(), 'CREATE'), true)";
    sqlx::query_scalar(sql).fetch_one(pool).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Conn, Db, DbError, sql};
    use crate::outbox::tell;
    use crate::testing::{fresh_postgres_url, now, on_both, told_by_test};
    use clinical::event::Event;
    use clinical::id::FindingId;

    const OURS: ClinicId = ClinicId::DEFAULT;

    /// One event in each of two clinics.
    async fn two_clinics(db: &Db) -> ClinicId {
        let theirs = ClinicId::new();
        let mut tx = db.begin().await.unwrap();
        sql("INSERT INTO clinics (clinic_id, name, created_at) VALUES ($1, 'Theirs', $2)")
            .bind(theirs)
            .bind(now())
            .execute(&mut tx)
            .await
            .unwrap();
        for clinic in [OURS, theirs] {
            let event = Event::FindingReviewed { finding_id: FindingId::new(), review: None };
            tell(&mut tx, clinic, &event, now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        theirs
    }

    /// How many events a query without any condition shows.
    async fn events(conn: &mut Conn) -> i64 {
        sql("SELECT count(*) FROM events").fetch_one(conn).await.unwrap()
    }

    /// A database of its own, seen by its owner, who is a superuser, and by a plain role.
    async fn two_roles() -> (Db, Db) {
        let owner = Db::open(&fresh_postgres_url().await).await.unwrap();
        owner.migrate().await.unwrap();
        let mut conn = owner.begin().await.unwrap();
        let schema: String = sql("SELECT current_schema()::text").fetch_one(&mut conn).await.unwrap();
        let role = format!("{schema}_app");
        for words in [
            format!("CREATE ROLE {role} LOGIN PASSWORD 'app' NOSUPERUSER NOBYPASSRLS"),
            format!("GRANT USAGE ON SCHEMA {schema} TO {role}"),
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"),
        ] {
            crate::db::built_sql(words).execute(&mut conn).await.unwrap();
        }
        conn.commit().await.unwrap();
        let url: sqlx::postgres::PgConnectOptions = told_by_test("MEDILINK_TEST_POSTGRES").parse().unwrap();
        let url = url.username(&role).password("app").options([("search_path", schema)]);
        (owner, Db::postgres(url).await.unwrap())
    }

    #[tokio::test]
    async fn a_plain_role_sees_one_clinic_alone_whatever_it_asks_and_a_superuser_sees_all() {
        let (owner, app) = two_roles().await;
        let theirs = two_clinics(&owner).await;
        assert!(owner.bypasses_row_security().await.unwrap(), "the test's own server has a superuser");
        assert_eq!(events(&mut owner.of(OURS).read().await.unwrap()).await, 2, "for whom no policy holds");
        assert!(!app.bypasses_row_security().await.unwrap(), "else what follows would prove nothing");

        assert_eq!(events(&mut app.of(OURS).read().await.unwrap()).await, 1);
        assert_eq!(events(&mut app.of(OURS).begin().await.unwrap()).await, 1);
        let seen: Vec<uuid::Uuid> = sql("SELECT clinic_id FROM events")
            .fetch_all(&mut app.of(theirs).read().await.unwrap())
            .await
            .unwrap();
        assert_eq!(seen, [theirs.0]);
        assert_eq!(events(&mut app.of(ClinicId::new()).read().await.unwrap()).await, 0);
        assert_eq!(events(&mut app.read().await.unwrap()).await, 2, "the system sees all");
    }

    #[tokio::test]
    async fn a_plain_role_neither_changes_nor_makes_rows_of_another_clinic() {
        let (owner, app) = two_roles().await;
        let theirs = two_clinics(&owner).await;
        let mut tx = app.of(OURS).begin().await.unwrap();
        let changed = sql("UPDATE events SET name = 'changed'").execute(&mut tx).await.unwrap();
        assert_eq!(changed, 1);
        assert_eq!(
            sql("DELETE FROM events WHERE clinic_id = $1").bind(theirs).execute(&mut tx).await.unwrap(),
            0
        );
        let event = Event::FindingReviewed { finding_id: FindingId::new(), review: None };
        assert!(matches!(tell(&mut tx, theirs, &event, now()).await, Err(DbError::Engine(_))));
        drop(tx);
        let mut tx = app.of(OURS).begin().await.unwrap();
        tell(&mut tx, OURS, &event, now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(events(&mut app.of(OURS).read().await.unwrap()).await, 2);
    }

    /// A connection goes back to the pool after a clinic's transaction: the next user must not inherit it.
    #[tokio::test]
    async fn a_clinic_is_named_for_one_transaction_and_no_longer() {
        let (owner, app) = two_roles().await;
        two_clinics(&owner).await;
        for _ in 0..40 {
            drop(app.of(OURS).read().await.unwrap());
            app.of(OURS).begin().await.unwrap().commit().await.unwrap();
            assert_eq!(events(&mut app.read().await.unwrap()).await, 2);
        }
    }

    #[tokio::test]
    async fn a_connection_that_names_no_clinic_sees_nothing() {
        let (owner, app) = two_roles().await;
        two_clinics(&owner).await;
        let mut conn = app.begin().await.unwrap();
        for nothing in ["SET LOCAL app.clinic = ''", "RESET app.clinic"] {
            sql(nothing).execute(&mut conn).await.unwrap();
            assert_eq!(events(&mut conn).await, 0, "{nothing}");
        }
    }

    /// A later step that forgets `keep_clinics_apart()` fails here.
    #[tokio::test]
    async fn every_table_of_a_clinic_is_under_the_policy_and_forced() {
        let (owner, _app) = two_roles().await;
        let mut read = owner.read().await.unwrap();
        let of_clinics = "SELECT CAST(table_name AS text) FROM information_schema.columns
                           WHERE column_name = 'clinic_id' AND table_schema = current_schema() ORDER BY 1";
        let tables: Vec<String> = sql(of_clinics).fetch_all(&mut read).await.unwrap();
        assert!(tables.len() >= 15 && tables.contains(&"patients".to_owned()), "{tables:?}");
        let forced = "SELECT CAST(c.relname AS text) FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid
                       WHERE c.relnamespace = current_schema()::regnamespace
                         AND c.relrowsecurity AND c.relforcerowsecurity ORDER BY 1";
        assert_eq!(sql(forced).fetch_all::<String>(&mut read).await.unwrap(), tables);
    }

    #[tokio::test]
    async fn a_role_that_may_not_change_the_schema_serves_over_a_whole_one() {
        let (_owner, app) = two_roles().await;
        app.migrate().await.unwrap();
        assert_eq!(app.pending_migrations().await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn a_clinics_handle_reads_what_it_wrote_on_both_engines() {
        on_both(async |db| {
            let ours = db.of(OURS);
            let mut tx = ours.begin().await.unwrap();
            let event = Event::FindingReviewed { finding_id: FindingId::new(), review: None };
            tell(&mut tx, OURS, &event, now()).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(events(&mut ours.read().await.unwrap()).await, 1);
        })
        .await;
    }
}
