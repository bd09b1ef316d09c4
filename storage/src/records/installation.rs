//! Which database this is: an identifier that is made once and never changes.

use uuid::Uuid;

use crate::db::{Db, Result, sql};

/// The identifier of the database, made when it is first asked for.
pub async fn id(db: &Db) -> Result<Uuid> {
    let find = || sql("SELECT installation_id FROM installation");
    if let Some(id) = find().fetch_optional(&mut db.read().await?).await? {
        return Ok(id);
    }
    let mut tx = db.begin().await?;
    sql("INSERT INTO installation (place, installation_id) VALUES (1, $1) ON CONFLICT (place) DO NOTHING")
        .bind(Uuid::new_v4())
        .execute(&mut tx)
        .await?;
    let id = find().fetch_one(&mut tx).await?;
    tx.commit().await?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_both;

    #[tokio::test]
    async fn a_database_keeps_its_identifier() {
        on_both(async |db| {
            let first = id(&db).await.unwrap();
            assert_eq!(id(&db).await.unwrap(), first);
        })
        .await;
    }
}
