//! An invoice as people get it on paper.

use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use clinical::id::ClinicId;
use clinical::money::Money;
use krilla::metadata::{DateTime as FileTime, Metadata};
use storage::db::{Conn, DbError};
use storage::records::clinic::Clinic;
use storage::records::patient::Patient;

use super::{Invoice, InvoiceStatus};
use crate::customer::Customer;
use crate::lines::Line;
use crate::paper::{LEFT, Look, Paper, PaperError, RIGHT};
use crate::seed::spoken;
use crate::settings::BillingSettings;

/// Where the columns of the lines end, from the right edge.
const AMOUNT: f32 = RIGHT;
const TAX: f32 = RIGHT - 88.0;
const UNIT: f32 = RIGHT - 132.0;
const QUANTITY: f32 = RIGHT - 214.0;
/// How wide descriptions are.
const DESCRIPTION: f32 = QUANTITY - 40.0 - LEFT;
/// From one line of text to the next.
const STEP: f32 = 14.0;

/// What stands on the paper beside the invoice itself.
#[derive(Debug, Clone)]
pub(crate) struct Letterhead {
    /// Who bills.
    pub clinic: String,
    /// Its number as people read it.
    pub number: String,
    /// Whom: their name, and where bills go to.
    pub billed_to: Vec<String>,
    /// In which days are told.
    pub zone: Tz,
}

impl Letterhead {
    /// Of an issued invoice; `None` where it has no number yet.
    pub async fn of(rows: &mut Conn, clinic: ClinicId, invoice: &Invoice) -> Result<Option<Self>, DbError> {
        let prefix = BillingSettings::of(rows, clinic).await?.invoice_prefix;
        let Some(number) = invoice.number_text(&prefix) else { return Ok(None) };
        let billed_to = billed_to(rows, clinic, invoice).await?;
        let Clinic { name, time_zone, .. } = Clinic::find(rows, clinic).await?;
        Ok(Some(Self { clinic: name, number, billed_to, zone: time_zone.parse().unwrap_or(Tz::UTC) }))
    }
}

/// Whom an invoice bills: the customer, else the patient.
async fn billed_to(rows: &mut Conn, clinic: ClinicId, invoice: &Invoice) -> Result<Vec<String>, DbError> {
    if let Some(customer) = invoice.customer_id {
        let Customer { name, email, .. } = Customer::find(rows, clinic, customer).await?;
        return Ok([Some(name), email].into_iter().flatten().collect());
    }
    let Some(patient) = invoice.patient_id else { return Ok(Vec::new()) };
    let name = spoken(&Patient::find(rows, clinic, patient).await?.demographics.name);
    Ok(Some(name).filter(|name| !name.is_empty()).into_iter().collect())
}

/// The invoice as a PDF.
///
/// # Errors
///
/// [`PaperError`]
pub(crate) fn pdf(invoice: &Invoice, lines: &[Line], head: &Letterhead) -> Result<Vec<u8>, PaperError> {
    laid_out(invoice, lines, head)?.finish(&head.number, metadata(invoice, head))
}

fn laid_out(invoice: &Invoice, lines: &[Line], head: &Letterhead) -> Result<Paper, PaperError> {
    let mut paper = Paper::new()?;
    letterhead(&mut paper, invoice, head);
    columns(&mut paper);
    for line in lines {
        written(&mut paper, invoice, line);
    }
    sums(&mut paper, invoice);
    Ok(paper)
}

fn letterhead(paper: &mut Paper, invoice: &Invoice, head: &Letterhead) {
    let title = Look { size: 17.0, is_bold: true, grey: 0 };
    for (place, name) in paper.broken(title, &head.clinic, 330.0).iter().take(3).enumerate() {
        if place > 0 {
            paper.y += 21.0;
        }
        paper.text(LEFT, title, name);
    }
    paper.ends_at(RIGHT, Look { size: 17.0, is_bold: false, grey: 95 }, "Invoice");
    paper.y += 40.0;
    let above = paper.y;
    for (place, line) in head.billed_to.iter().enumerate() {
        if place == 0 {
            paper.text(LEFT, Look::FAINT, "Billed to");
        }
        for part in paper.broken(Look::PLAIN, line, 230.0).iter().take(3) {
            paper.y += STEP;
            paper.text(LEFT, Look::PLAIN, part);
        }
    }
    let left = std::mem::replace(&mut paper.y, above);
    let day = |at: DateTime<Utc>| at.with_timezone(&head.zone).date_naive().to_string();
    let facts = [
        ("Number", Some(head.number.clone())),
        ("Date", invoice.issued_at.map(day)),
        ("To be paid by", invoice.due_at.map(day)),
        ("Status", status(invoice.status).map(str::to_owned)),
    ];
    for (name, value) in facts {
        let Some(value) = value else { continue };
        paper.text(RIGHT - 200.0, Look::FAINT, name);
        paper.ends_at(RIGHT, Look::PLAIN, &value);
        paper.y += STEP;
    }
    paper.y = paper.y.max(left + STEP) + STEP;
    for part in paper.broken(Look::STRONG, &invoice.description, RIGHT - LEFT) {
        paper.text(LEFT, Look::STRONG, &part);
        paper.y += STEP;
    }
    paper.y += STEP;
}

/// What is worth saying of where it stands.
fn status(status: InvoiceStatus) -> Option<&'static str> {
    Some(match status {
        InvoiceStatus::Draft => "draft",
        InvoiceStatus::Paid => "paid",
        InvoiceStatus::PartlyRefunded => "partly refunded",
        InvoiceStatus::Refunded => "refunded",
        InvoiceStatus::Void => "void",
        InvoiceStatus::Open | InvoiceStatus::Uncollectible => return None,
    })
}

fn columns(paper: &mut Paper) {
    paper.text(LEFT, Look::FAINT, "Description");
    for (x, name) in [(QUANTITY, "Quantity"), (UNIT, "Price"), (TAX, "Tax"), (AMOUNT, "Amount with tax")] {
        paper.ends_at(x, Look::FAINT, name);
    }
    paper.y += 6.0;
    paper.rule();
    paper.y += STEP;
}

fn written(paper: &mut Paper, invoice: &Invoice, line: &Line) {
    let sum = |minor| Money::new(minor, invoice.currency).decimal().to_string();
    let parts = paper.broken(Look::PLAIN, &line.description, DESCRIPTION);
    for (place, part) in parts.iter().enumerate() {
        if paper.has_turned(STEP) {
            columns(paper);
        }
        paper.text(LEFT, Look::PLAIN, part);
        if place == 0 {
            paper.ends_at(QUANTITY, Look::PLAIN, &line.quantity.to_string());
            paper.ends_at(UNIT, Look::PLAIN, &sum(line.unit_minor));
            paper.ends_at(TAX, Look::PLAIN, &rate(line.tax_rate));
            paper.ends_at(AMOUNT, Look::PLAIN, &sum(line.total_minor));
        }
        paper.y += STEP;
    }
    if line.discount_minor != 0 {
        if paper.has_turned(STEP) {
            columns(paper);
        }
        paper.text(LEFT, Look::FAINT, &format!("less {}", sum(line.discount_minor)));
        paper.y += STEP;
    }
    paper.y += 3.0;
}

/// A rate in hundredths of a per cent, as `19 %` or `5.5 %`.
fn rate(hundredths: i64) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn sums(paper: &mut Paper, invoice: &Invoice) {
    let sum = |minor| Money::new(minor, invoice.currency).to_string();
    let taken_off = (invoice.discount_minor != 0).then(|| sum(-invoice.discount_minor));
    let paid = (invoice.paid_minor != 0).then(|| sum(invoice.paid_minor));
    let returned = (invoice.refunded_minor != 0).then(|| sum(invoice.refunded_minor));
    let due = invoice.outstanding();
    let lines = [
        ("Discount, taken off above", taken_off, Look::FAINT),
        ("Without tax", Some(sum(invoice.net_minor)), Look::PLAIN),
        ("Tax", Some(sum(invoice.tax_minor)), Look::PLAIN),
        ("Total", Some(sum(invoice.total_minor)), Look::STRONG),
        ("Paid", paid, Look::PLAIN),
        ("Given back", returned, Look::PLAIN),
        ("To be paid", (due.minor != 0).then(|| due.to_string()), Look::STRONG),
    ];
    let shown: Vec<_> =
        lines.into_iter().filter_map(|(name, value, look)| Some((name, value?, look))).collect();
    paper.has_turned(STEP * (shown.len() as f32 + 2.0));
    paper.rule();
    paper.y += STEP * 1.5;
    for (name, value, look) in shown {
        paper.text(RIGHT - 230.0, look, name);
        paper.ends_at(RIGHT, look, &value);
        paper.y += STEP + 2.0;
    }
}

fn metadata(invoice: &Invoice, head: &Letterhead) -> Metadata {
    let at = invoice.issued_at.unwrap_or(invoice.created_at);
    let of = |part: u32| u8::try_from(part).unwrap_or(1);
    let made =
        FileTime::new(u16::try_from(at.year()).unwrap_or(1970)).month(of(at.month())).day(of(at.day()));
    Metadata::new()
        .title(format!("Invoice {}", head.number))
        .authors(vec![head.clinic.clone()])
        .language("en".to_owned())
        .creation_date(made)
        .document_id(invoice.invoice_id.to_string())
}

#[cfg(test)]
mod tests {
    use clinical::id::InvoiceId;

    use super::*;

    #[test]
    fn a_rate_is_told_without_needless_digits() {
        assert_eq!([0, 550, 1_900, 10_000, 1_925].map(rate), ["0 %", "5.5 %", "19 %", "100 %", "19.25 %"]);
    }

    #[test]
    fn an_invoice_of_the_most_and_longest_lines_has_its_pages() {
        let text = "Verband ".repeat(62);
        let currency = "EUR".parse().unwrap();
        let line = Line::of(text.trim(), 1_000_000, 1_000_000, 5, 1_900, currency).unwrap();
        let at = DateTime::UNIX_EPOCH;
        let invoice = Invoice {
            invoice_id: InvoiceId::new(),
            number: Some(1),
            patient_id: None,
            customer_id: None,
            subscription_id: None,
            status: InvoiceStatus::Open,
            currency,
            description: text.clone(),
            net_minor: 1,
            discount_minor: 5,
            tax_minor: 0,
            total_minor: 1,
            paid_minor: 0,
            refunded_minor: 0,
            issued_at: Some(at),
            due_at: Some(at),
            paid_at: None,
            reminders: 0,
            remind_at: None,
            created_by: String::new(),
            created_at: at,
            changed_at: at,
        };
        let head = Letterhead {
            clinic: text.clone(),
            number: "INV-000001".into(),
            billed_to: vec![text; 3],
            zone: Tz::UTC,
        };
        let lines = vec![line; 100];
        // A line has about twelve lines of text, a page about fifty.
        let pages = laid_out(&invoice, &lines, &head).unwrap().page_count();
        assert!((20..40).contains(&pages), "{pages}");
        let file = pdf(&invoice, &lines, &head).unwrap();
        assert!(file.starts_with(b"%PDF-1."), "{:?}", &file[..8]);
    }
}
