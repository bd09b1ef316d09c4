//! What other houses keep of a patient: what they were told, and how to reach who pays for them.

use clinical::id::{ClinicId, PatientId};

use crate::db::{Result, Tx, built_sql, sql};

/// Those whose own record it is.
const OWN: &str = "(SELECT user_id FROM memberships WHERE clinic_id = $1 AND patient_id = $2)";

/// Removes what the patient was told in the clinic and on which devices. What others were told too stays theirs, and
/// what the account wishes goes with the account.
pub(super) async fn erase_word(db: &mut Tx, clinic: ClinicId, id: PatientId) -> Result<()> {
    // In the order in which it can go.
    for delete in [
        format!(
            "DELETE FROM notification_deliveries WHERE clinic_id = $1 AND (message_id, user_id) IN
                (SELECT message_id, user_id FROM live_recipients WHERE clinic_id = $1 AND user_id IN {OWN})"
        ),
        format!(
            "DELETE FROM live_messages WHERE clinic_id = $1 AND message_id IN
                (SELECT r.message_id FROM live_recipients r
                  WHERE r.clinic_id = $1 AND r.user_id IN {OWN} AND NOT EXISTS
                       (SELECT 1 FROM live_recipients o WHERE o.clinic_id = $1
                           AND o.message_id = r.message_id AND o.user_id <> r.user_id))"
        ),
        format!("DELETE FROM live_recipients WHERE clinic_id = $1 AND user_id IN {OWN}"),
        format!("DELETE FROM push_targets WHERE clinic_id = $1 AND user_id IN {OWN}"),
    ] {
        built_sql(delete).bind(clinic).bind(id).execute(db).await?;
    }
    Ok(())
}

/// Removes how to reach who pays for the patient, and their name where nothing was billed and nothing paid; how many
/// names stay on bills.
pub(super) async fn erase_payer(db: &mut Tx, clinic: ClinicId, id: PatientId) -> Result<u64> {
    let contacts =
        "UPDATE billing_customers SET email = NULL, phone = NULL WHERE clinic_id = $1 AND patient_id = $2";
    let all = sql(contacts).bind(clinic).bind(id).execute(db).await?;
    let names = "UPDATE billing_customers SET name = '' WHERE clinic_id = $1 AND patient_id = $2
                    AND NOT EXISTS (SELECT 1 FROM invoices i WHERE i.clinic_id = $1 AND i.number IS NOT NULL
                                       AND i.customer_id = billing_customers.customer_id)
                    AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.clinic_id = $1
                                       AND p.customer_id = billing_customers.customer_id)";
    let nameless = sql(names).bind(clinic).bind(id).execute(db).await?;
    Ok(all - nameless)
}
