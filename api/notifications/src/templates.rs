//! A clinic's own words in place of the program's.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, TemplateId};
use gate::{Caller, Json, Path, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::db::{Conn, DbError, FromRow, Result, Row, sql};
use utoipa::ToSchema;

use crate::preferences::is_locale;
use crate::state::NotificationsState;
use crate::words::{self, TemplateError, Words};

/// The longest subject, text and HTML, in characters.
const SUBJECT_CHARACTERS: usize = 200;
const TEXT_CHARACTERS: usize = 10_000;
/// A clinic has at most so many.
const MOST_PER_CLINIC: i64 = 500;

/// A clinic's words for a kind of message in a language.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateView {
    /// The kind of message.
    pub name: String,
    /// The language.
    pub locale: String,
    /// Subject of an e-mail, title of a push.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The text of an e-mail as HTML; without it HTML is made of the text.
    pub html: Option<String>,
    /// Since when.
    pub changed_at: DateTime<Utc>,
}

impl FromRow for TemplateView {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            name: row.get("name")?,
            locale: row.get("locale")?,
            subject: row.get("subject")?,
            text: row.get("text")?,
            html: row.get("html")?,
            changed_at: row.get("changed_at")?,
        })
    }
}

/// Words: text, and `{{name}}` where a value stands.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TemplateRequest {
    /// One line.
    #[schema(min_length = 1, max_length = 200)]
    subject: String,
    /// The text.
    #[schema(min_length = 1, max_length = 10000)]
    text: String,
    /// The text of an e-mail as HTML; values are escaped in it.
    #[schema(max_length = 10000)]
    html: Option<String>,
}

/// The words of a name in the language nearest to `locale`: the clinic's own, else the program's.
pub(crate) async fn words(db: &mut Conn, clinic: ClinicId, name: &str, locale: &str) -> Result<Words> {
    let language = locale.split(['-', '_']).next().unwrap_or_default();
    for nearest in [locale, language] {
        let find = "SELECT name, locale, subject, text, html, changed_at FROM notification_templates
                     WHERE clinic_id = $1 AND name = $2 AND locale = $3";
        let own: Option<TemplateView> =
            sql(find).bind(clinic).bind(name).bind(nearest).fetch_optional(db).await?;
        if let Some(TemplateView { subject, text, html, .. }) = own {
            return Ok(Words { subject, text, html });
        }
    }
    let built_in = words::built_in(name, locale).or_else(|| words::built_in("notice", locale));
    built_in.cloned().ok_or_else(|| DbError::Corrupt("the program's own words".to_owned()))
}

fn known(name: &str) -> Result<&'static str, Problem> {
    words::names().find(|known| *known == name).ok_or_else(Problem::not_found)
}

fn refused(error: TemplateError) -> Problem {
    let code = match error {
        TemplateError::Braces => "template-broken",
        TemplateError::UnknownValue(_) => "template-unknown-value",
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string())
}

impl TemplateRequest {
    fn check(&self, name: &str) -> Result<(), Problem> {
        let long = |text: &str, most| text.trim().is_empty() || text.chars().count() > most;
        let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        let texts = [Some(&self.text), self.html.as_ref()];
        let is_bad = long(&self.subject, SUBJECT_CHARACTERS)
            || self.subject.contains(char::is_control)
            || texts.iter().flatten().any(|text| long(text, TEXT_CHARACTERS) || text.contains(is_odd));
        if is_bad {
            let detail = "subject is one line of at most 200 characters, text and html have at most 10,000";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-text", detail));
        }
        for text in texts.into_iter().flatten().chain([&self.subject]) {
            words::check(name, text).map_err(refused)?;
        }
        Ok(())
    }
}

/// `GET /api/v1/notifications/templates`: the clinic's own.
pub(crate) async fn list(
    State(state): State<NotificationsState>,
    caller: Caller,
) -> Result<Json<Vec<TemplateView>>, Problem> {
    let mut read = state.app.db.of(caller.clinic).read().await?;
    let find = "SELECT name, locale, subject, text, html, changed_at FROM notification_templates
                 WHERE clinic_id = $1 ORDER BY name, locale LIMIT $2";
    Ok(Json(sql(find).bind(caller.clinic).bind(MOST_PER_CLINIC).fetch_all(&mut read).await?))
}

/// `PUT /api/v1/notifications/templates/{name}/{locale}`
pub(crate) async fn write(
    State(state): State<NotificationsState>,
    caller: Caller,
    Path((name, locale)): Path<(String, String)>,
    Json(request): Json<TemplateRequest>,
) -> Result<Json<TemplateView>, Problem> {
    let name = known(&name)?;
    if !is_locale(&locale) {
        return Err(Problem::not_found());
    }
    request.check(name)?;
    let TemplateRequest { subject, text, html } = request;
    let now = state.app.clock.now();
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let count = sql("SELECT count(*) FROM notification_templates WHERE clinic_id = $1").bind(caller.clinic);
    if count.fetch_one::<i64>(&mut tx).await? >= MOST_PER_CLINIC {
        return Err(Problem::conflict("too-many-templates", "a clinic has at most 500 templates"));
    }
    let upsert =
        "INSERT INTO notification_templates (template_id, clinic_id, name, locale, subject, text, html,
                                                      changed_at)
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                  ON CONFLICT (clinic_id, name, locale) DO UPDATE
                     SET subject = excluded.subject, text = excluded.text, html = excluded.html,
                         changed_at = excluded.changed_at";
    sql(upsert)
        .bind(TemplateId::new())
        .bind(caller.clinic)
        .bind(name)
        .bind(&locale)
        .bind(&subject)
        .bind(&text)
        .bind(html.clone())
        .bind(now)
        .execute(&mut tx)
        .await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(TemplateView { name: name.to_owned(), locale, subject, text, html, changed_at: now }))
}

/// `DELETE /api/v1/notifications/templates/{name}/{locale}`: the program's words count again.
pub(crate) async fn remove(
    State(state): State<NotificationsState>,
    caller: Caller,
    Path((name, locale)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let delete = "DELETE FROM notification_templates WHERE clinic_id = $1 AND name = $2 AND locale = $3";
    if sql(delete).bind(caller.clinic).bind(name).bind(locale).execute(&mut tx).await? == 0 {
        return Err(Problem::not_found());
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
