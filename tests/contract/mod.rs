//! Rules over the whole tree.

mod floors;
