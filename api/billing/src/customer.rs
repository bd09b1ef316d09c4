//! Who is billed, and what they pay with: tokens of providers, never numbers of cards.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, CustomerId, PatientId, PaymentMethodId};
use storage::db::{Conn, FromRow, Result, Row, Tx, built_sql, sql};
use storage::records::listing::Listing;
use storage::records::patient::Shown;
use uuid::Uuid;

use crate::provider::ProviderName;

/// Who is billed.
#[derive(Clone, PartialEq, Eq)]
pub struct Customer {
    /// Our identifier.
    pub customer_id: CustomerId,
    /// The patient whose bills they pay, where it is one.
    pub patient_id: Option<PatientId>,
    /// The name on the bill.
    pub name: String,
    /// Where bills go to.
    pub email: Option<String>,
    /// Where to call.
    pub phone: Option<String>,
    /// Where they are (ISO 3166-1, two letters).
    pub country: Option<String>,
    /// When they were made.
    pub created_at: DateTime<Utc>,
}

const COLUMNS: &str = "customer_id, patient_id, name, email, phone, country, created_at";

impl FromRow for Customer {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            customer_id: row.id("customer_id")?,
            patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
            name: row.get("name")?,
            email: row.get("email")?,
            phone: row.get("phone")?,
            country: row.get("country")?,
            created_at: row.get("created_at")?,
        })
    }
}

impl Customer {
    /// Writes a new one.
    pub(crate) async fn insert(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let insert =
            "INSERT INTO billing_customers (customer_id, clinic_id, patient_id, name, email, phone, country,
                                                     created_at, changed_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
        sql(insert)
            .bind(self.customer_id)
            .bind(clinic)
            .bind(self.patient_id)
            .bind(&self.name)
            .bind(self.email.clone())
            .bind(self.phone.clone())
            .bind(self.country.clone())
            .bind(self.created_at)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// One customer of one clinic.
    ///
    /// # Errors
    ///
    /// `DbError::NotFound` when the clinic has none of that identifier.
    pub(crate) async fn find(db: &mut Conn, clinic: ClinicId, id: CustomerId) -> Result<Self> {
        let text =
            format!("SELECT {COLUMNS} FROM billing_customers WHERE clinic_id = $1 AND customer_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The customer that was made first for a patient.
    pub(crate) async fn of_patient(
        db: &mut Conn,
        clinic: ClinicId,
        patient: PatientId,
    ) -> Result<Option<Self>> {
        let text = format!(
            "SELECT {COLUMNS} FROM billing_customers WHERE patient_id = $2 AND clinic_id = $1
              ORDER BY customer_id LIMIT 1"
        );
        built_sql(text).bind(clinic).bind(patient).fetch_optional(db).await
    }

    /// The clinic's, or those of one patient, of patients whom `shown` names or of nobody in particular, newest first,
    /// from before `after` on.
    pub(crate) async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        patient: Option<PatientId>,
        shown: Shown,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        Listing::of(format!("SELECT {COLUMNS} FROM billing_customers WHERE clinic_id = $1"))
            .by("patient_id =", patient)
            .shown("billing_customers.patient_id", shown)
            .newest("customer_id", after, clinic, limit)
            .fetch_all(db)
            .await
    }

    /// Under which name a provider knows them; `None` where it does not.
    pub(crate) async fn name_at(
        db: &mut Conn,
        clinic: ClinicId,
        id: CustomerId,
        provider: ProviderName,
    ) -> Result<Option<String>> {
        let select = "SELECT provider_ref FROM provider_customers
                       WHERE clinic_id = $1 AND customer_id = $2 AND provider = $3";
        sql(select).bind(clinic).bind(id).bind(provider.as_str()).fetch_optional(db).await
    }

    /// Keeps the name under which a provider knows them; one that it had already stays.
    pub(crate) async fn named(
        db: &mut Tx,
        clinic: ClinicId,
        id: CustomerId,
        provider: ProviderName,
        name: &str,
    ) -> Result<()> {
        let insert = "INSERT INTO provider_customers (clinic_id, customer_id, provider, provider_ref)
                      VALUES ($1, $2, $3, $4) ON CONFLICT (customer_id, provider) DO NOTHING";
        sql(insert).bind(clinic).bind(id).bind(provider.as_str()).bind(name).execute(db).await.map(|_| ())
    }
}

/// What a customer pays with, as a provider names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentMethod {
    /// Our identifier.
    pub method_id: PaymentMethodId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Who keeps it.
    pub provider: ProviderName,
    /// Under which name.
    pub provider_ref: String,
    /// As `card`.
    pub kind: String,
    /// As `visa`.
    pub brand: Option<String>,
    /// The last digits, for people.
    pub last4: Option<String>,
    /// Month and year of its end.
    pub expires: Option<(i64, i64)>,
    /// Whether it is charged where none is named.
    pub is_default: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

const METHOD: &str =
    "method_id, customer_id, provider, provider_ref, kind, brand, last4, exp_month, exp_year,
    is_default, created_at";

impl FromRow for PaymentMethod {
    fn from_row(row: &Row) -> Result<Self> {
        let (month, year): (Option<i64>, Option<i64>) = (row.get("exp_month")?, row.get("exp_year")?);
        Ok(Self {
            method_id: row.id("method_id")?,
            customer_id: row.id("customer_id")?,
            provider: row.parse("provider")?,
            provider_ref: row.get("provider_ref")?,
            kind: row.get("kind")?,
            brand: row.get("brand")?,
            last4: row.get("last4")?,
            expires: month.zip(year),
            is_default: row.get("is_default")?,
            created_at: row.get("created_at")?,
        })
    }
}

impl PaymentMethod {
    /// Writes it; the first of a customer is the one that is charged where none is named.
    pub(crate) async fn insert(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let insert = "INSERT INTO payment_methods (clinic_id, method_id, customer_id, provider, provider_ref, kind, brand,
                             last4, exp_month, exp_year, is_default, created_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
                      ON CONFLICT (clinic_id, provider, provider_ref) DO NOTHING";
        sql(insert)
            .bind(clinic)
            .bind(self.method_id)
            .bind(self.customer_id)
            .bind(self.provider.as_str())
            .bind(&self.provider_ref)
            .bind(&self.kind)
            .bind(self.brand.clone())
            .bind(self.last4.clone())
            .bind(self.expires.map(|(month, _)| month))
            .bind(self.expires.map(|(_, year)| year))
            .bind(self.is_default)
            .bind(self.created_at)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// One method of one clinic.
    ///
    /// # Errors
    ///
    /// `DbError::NotFound` when the clinic has none of that identifier.
    pub(crate) async fn find(db: &mut Conn, clinic: ClinicId, id: PaymentMethodId) -> Result<Self> {
        let text = format!("SELECT {METHOD} FROM payment_methods WHERE clinic_id = $1 AND method_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// Those of a customer, the one that is charged first.
    pub(crate) async fn of(db: &mut Conn, clinic: ClinicId, customer: CustomerId) -> Result<Vec<Self>> {
        let text = format!(
            "SELECT {METHOD} FROM payment_methods WHERE customer_id = $2 AND clinic_id = $1
              ORDER BY is_default DESC, method_id LIMIT 100"
        );
        built_sql(text).bind(clinic).bind(customer).fetch_all(db).await
    }

    /// Makes it the one that is charged where none is named.
    pub(crate) async fn prefer(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let update = "UPDATE payment_methods SET is_default = CASE WHEN method_id = $3 THEN $4 ELSE $5 END
                       WHERE clinic_id = $1 AND customer_id = $2";
        sql(update)
            .bind(clinic)
            .bind(self.customer_id)
            .bind(self.method_id)
            .bind(true)
            .bind(false)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// Forgets it; payments and subscriptions that name it name none from now on.
    pub(crate) async fn forget(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        for text in [
            "UPDATE subscriptions SET method_id = NULL WHERE clinic_id = $1 AND method_id = $2",
            "UPDATE payments SET method_id = NULL WHERE clinic_id = $1 AND method_id = $2 AND status <> 'asked'",
            "DELETE FROM payment_methods WHERE clinic_id = $1 AND method_id = $2",
        ] {
            sql(text).bind(clinic).bind(self.method_id).execute(db).await?;
        }
        Ok(())
    }
}
