//! The person behind a request, and the password that they must show again for what matters.

use clinical::id::{SessionId, UserId};
use gate::{Caller, Problem, Who};
use http::StatusCode;
use storage::records::user::User;

use crate::Identity;
use crate::attempts::Origin;
use crate::login::slow_down;
use crate::password::Password;

/// The caller's person and session.
///
/// # Errors
///
/// 403 `no-account`: keys and the administrator's token have none.
pub(crate) fn person(caller: &Caller) -> Result<(UserId, SessionId), Problem> {
    match caller.who {
        Who::User { user_id, session_id } => Ok((user_id, session_id)),
        Who::Administrator | Who::Key { .. } => Err(no_account()),
    }
}

/// 403 `no-account`.
pub(crate) fn no_account() -> Problem {
    let detail = "this is for people who have signed in: a key or the administrator's token has no account";
    Problem::new(StatusCode::FORBIDDEN, "no-account", detail)
}

impl Identity {
    /// The caller, who has shown their password again; wrong ones are slowed as at a sign-in.
    pub(crate) async fn shown_again(&self, caller: &Caller, password: &str) -> Result<User, Problem> {
        let (user_id, session_id) = person(caller)?;
        let user = User::find(&mut self.app.db.read().await?, user_id).await?;
        let wrong =
            || Problem::new(StatusCode::FORBIDDEN, "password-wrong", "the present password is another");
        let (account, origin) = (format!("again:{user_id}"), Origin::Device(session_id));
        self.attempts.begin(&account, origin, self.app.clock.now()).map_err(slow_down)?;
        let shown = Password::shown(password).ok_or_else(wrong)?;
        if !self.hasher.is_right(shown, user.password_hash.as_deref()).await? {
            return Err(wrong());
        }
        self.attempts.succeeded(&account, origin);
        Ok(user)
    }
}
