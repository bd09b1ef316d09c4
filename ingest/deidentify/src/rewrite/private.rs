//! Private elements of one data set.

use super::*;
use crate::safe_private::{self, Safe};

/// Names of creators kept of one data set.
const MOST_BLOCKS: usize = 4_096;

/// Who has reserved which blocks of private elements: group, block, name (PS3.5, section 7.8.1).
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<(u16, u8, String)>);

impl Blocks {
    /// What becomes of a private element whose value is `bytes`: it stays where it is known as safe, and so does the name of who has reserved its block.
    pub(super) fn action(
        &mut self,
        profile: &Profile,
        bytes: &[u8],
        element: &Element,
        heads: Content,
    ) -> Action {
        let Tag(group, number) = element.tag;
        if !profile.has(ProfileOption::SafePrivate) {
            return Action::Remove;
        }
        if let 0x10..=0xFF = number {
            let name = String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned();
            if heads != Content::Value || !safe_private::has(&name, group) || self.0.len() == MOST_BLOCKS {
                return Action::Remove;
            }
            self.0.push((group, number as u8, name));
            return Action::Keep;
        }
        let block = (number >> 8) as u8;
        let owner = self.0.iter().rfind(|(of, reserved, _)| *of == group && *reserved == block);
        match owner.and_then(|(_, _, name)| safe_private::of(name, group, number as u8)) {
            Some(Safe::Value) if heads == Content::Value => Action::Keep,
            Some(Safe::Sequence) if heads == Content::Sequence => Action::Keep,
            Some(Safe::Uid) if heads == Content::Value && profile.has(ProfileOption::Uids) => Action::Keep,
            Some(Safe::Uid) if heads == Content::Value => Action::Uid,
            _ => Action::Remove,
        }
    }
}
