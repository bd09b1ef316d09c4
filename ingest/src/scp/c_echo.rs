//! C-ECHO: "are you there?" (PS3.4, annex A; PS3.7, section 9.1.5).

use super::dimse::{Command, response};
use super::status::StoreStatus;

/// The answer to every C-ECHO: yes.
pub(crate) fn answer(command: &Command) -> Vec<u8> {
    response(command, StoreStatus::SUCCESS, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scp::dimse::{C_ECHO_RQ, request};

    /// PS3.7, table 9.3-13: command field 8030, message ID being responded to, status 0000.
    #[test]
    fn the_answer_names_the_request_and_says_success() {
        let bytes = request(C_ECHO_RQ, 0x1234, false, Some(("1.2.840.10008.1.1", "")));
        let answer = answer(&Command::parse(&bytes.into()).unwrap());
        let holds = |element: &[u8]| answer.windows(element.len()).any(|window| window == element);
        assert!(holds(&[0, 0, 0x00, 0x01, 2, 0, 0, 0, 0x30, 0x80]));
        assert!(holds(&[0, 0, 0x20, 0x01, 2, 0, 0, 0, 0x34, 0x12]));
        assert!(holds(&[0, 0, 0x00, 0x09, 2, 0, 0, 0, 0x00, 0x00]));
    }
}
