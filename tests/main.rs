//! Journeys through the whole program, and the rules that hold it together.

mod contract;
mod flows;
mod support;
