//! What this house needs beyond what every house may reach.

use axum::extract::FromRef;
use gate::App;
use storage::db::DbError;

use crate::cashier::Cashier;

/// The rooms behind this house; cheap to clone.
#[derive(Clone)]
pub struct BillingState {
    pub(crate) app: App,
    pub(crate) cashier: Cashier,
}

impl BillingState {
    /// Joins the rooms.
    pub fn new(app: App, cashier: Cashier) -> Self {
        Self { app, cashier }
    }

    /// How many accounts at providers there are.
    ///
    /// # Errors
    ///
    /// [`DbError`].
    pub async fn account_count(&self) -> Result<usize, DbError> {
        self.cashier.accounts.count().await
    }
}

impl FromRef<BillingState> for App {
    fn from_ref(state: &BillingState) -> Self {
        state.app.clone()
    }
}
