//! An answer as a table, for programs that read columns: CSV (RFC 4180) and Apache Parquet.

use std::sync::Arc;

use clinical::money::Decimal;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Whole,
    Number,
}

/// One value; `None` is unknown, or too small to be shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(Option<String>),
    Whole(Option<i64>),
    Number(Option<f64>),
    /// A sum in major units, digit by digit.
    Decimal(Option<Decimal>),
}

/// Columns by their names, and rows of as many cells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    pub columns: &'static [(&'static str, Kind)],
    pub rows: Vec<Vec<Cell>>,
}

/// An answer that can be taken away.
pub(crate) trait Tabled {
    /// Its rows.
    fn table(&self) -> Table;
}

/// A text.
pub(crate) fn text(text: impl Into<String>) -> Cell {
    Cell::Text(Some(text.into()))
}

impl Cell {
    fn written(&self) -> String {
        match self {
            Self::Text(text) => text.as_deref().map(harmless).unwrap_or_default(),
            Self::Whole(whole) => whole.map(|whole| whole.to_string()).unwrap_or_default(),
            Self::Number(number) => number.map(|number| number.to_string()).unwrap_or_default(),
            Self::Decimal(decimal) => decimal.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => *number,
            Self::Decimal(decimal) => decimal.as_ref()?.to_string().parse().ok(),
            Self::Text(_) | Self::Whole(_) => None,
        }
    }
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    let begins = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if begins { format!("'{text}") } else { text.to_owned() }
}

impl Table {
    /// As CSV, with a line of names.
    ///
    /// # Errors
    ///
    /// None that memory does not make.
    pub fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|(name, _)| *name))?;
        for row in &self.rows {
            writer.write_record(row.iter().map(Cell::written))?;
        }
        writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
    }

    /// As Parquet: one group of rows, every column optional.
    ///
    /// # Errors
    ///
    /// None that memory does not make.
    pub fn to_parquet(&self) -> Result<Vec<u8>, ParquetError> {
        let field = |(name, kind): &(&str, Kind)| match kind {
            Kind::Text => format!("OPTIONAL BYTE_ARRAY {name} (UTF8);"),
            Kind::Whole => format!("OPTIONAL INT64 {name};"),
            Kind::Number => format!("OPTIONAL DOUBLE {name};"),
        };
        let fields: Vec<String> = self.columns.iter().map(field).collect();
        let schema = Arc::new(parse_message_type(&format!("message analytics {{ {} }}", fields.join(" ")))?);
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default())?;
        let mut group = writer.next_row_group()?;
        for (place, (_, kind)) in self.columns.iter().enumerate() {
            let Some(mut column) = group.next_column()? else { break };
            self.write_column(&mut column, place, *kind)?;
            column.close()?;
        }
        group.close()?;
        writer.close()?;
        Ok(bytes)
    }

    fn write_column(
        &self,
        column: &mut SerializedColumnWriter<'_>,
        place: usize,
        kind: Kind,
    ) -> Result<(), ParquetError> {
        let cells = self.rows.iter().filter_map(|row| row.get(place));
        match kind {
            Kind::Text => {
                let values = cells.map(|cell| match cell {
                    Cell::Text(Some(text)) => Some(ByteArray::from(text.as_str())),
                    _ => None,
                });
                let (levels, values) = present(values);
                column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
            }
            Kind::Whole => {
                let values = cells.map(|cell| match cell {
                    Cell::Whole(whole) => *whole,
                    _ => None,
                });
                let (levels, values) = present(values);
                column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
            }
            Kind::Number => {
                let (levels, values) = present(cells.map(Cell::number));
                column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
            }
        }
        Ok(())
    }
}

/// Which values are there (1) and which are not (0), and those that are.
fn present<T>(values: impl Iterator<Item = Option<T>>) -> (Vec<i16>, Vec<T>) {
    let (mut levels, mut there) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        there.extend(value);
    }
    (levels, there)
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;

    fn table() -> Table {
        let row = |name: &str, count, percent| vec![text(name), Cell::Whole(count), Cell::Number(percent)];
        Table {
            columns: &[("name", Kind::Text), ("count", Kind::Whole), ("percent", Kind::Number)],
            rows: vec![row("Cardiology, \"adult\"", Some(30), Some(12.5)), row("=1+1", None, None)],
        }
    }

    /// RFC 4180, section 2: quotes are doubled. A formula would run on whoever opens the file.
    #[test]
    fn a_comma_is_quoted_and_a_formula_is_none() {
        let csv = String::from_utf8(table().to_csv().unwrap()).unwrap();
        assert_eq!(csv, "name,count,percent\r\n\"Cardiology, \"\"adult\"\"\",30,12.5\r\n'=1+1,,\r\n");
    }

    #[test]
    fn parquet_reads_back_with_what_is_missing() {
        let bytes = bytes::Bytes::from(table().to_parquet().unwrap());
        assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
        let reader = SerializedFileReader::new(bytes).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].get_string(0).unwrap(), "Cardiology, \"adult\"");
        assert_eq!((rows[0].get_long(1).unwrap(), rows[0].get_double(2).unwrap()), (30, 12.5));
        assert_eq!(rows[1].get_string(0).unwrap(), "=1+1", "a column of texts holds no formula");
        assert!(rows[1].get_long(1).is_err(), "it is null");
    }
}
