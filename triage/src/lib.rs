//! From a presentation to a differential, an urgency and advice about drugs.
//!
//! Pure: values in, values out; no clock, no database, no network.
