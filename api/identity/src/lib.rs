//! Sign-in: people, their sessions and second factor, the keys of machines, and sign-in elsewhere.
//!
//! A sign-in is a session. Its access tokens (JWT, 15 minutes) are the gate's
//! ([`gate::Authenticator`]); its refresh tokens are this house's: each is a MAC
//! over the session and a generation, only the last generation counts, and an
//! earlier one that comes back ends the session (`refresh_token.rs`). Guessing is
//! slowed, and nobody is locked out (`attempts.rs`).
//!
//! Tells `user_created` and `password_reset_asked`, asks for `mail_password_reset`; hears nothing. Users,
//! memberships, sessions and keys are `storage`'s records, because the gate reads
//! them; second factors, single-use tokens and identities elsewhere are this
//! house's own.

mod account;
mod api_keys;
mod attempts;
mod input;
mod login;
mod me;
mod oidc;
mod password;
mod refresh;
mod refresh_token;
mod reset;
mod reset_mail;
mod reset_page;
mod second_factor;
mod sessions;
mod setup;
mod signing_keys;
mod single_use;
mod state;
mod tokens;
mod totp;
mod users;
mod view;

use clinical::role::{Action, Resource};
use gate::{Routes, Rule, delete, get, patch, post};

pub use oidc::OidcProvider;
pub use password::PasswordCost;
pub use reset_mail::{ResetMail, ResetMailError};
pub use setup::setup_link;
pub use state::{Identity, IdentitySettings};
pub use users::reaches_every_clinic;
pub use view::{ApiKeyView, MeView, MembershipView, SessionView, Tokens, UserView};

/// The house, ready to be joined to others.
pub fn routes(identity: Identity) -> Routes {
    let own = |action| Rule::may(action, Resource::Account).own_by_caller();
    let member = |action| Rule::may(action, Resource::Member);
    let key = |action| Rule::may(action, Resource::ApiKey);
    Routes::new("identity")
        .add(
            post("/api/v1/auth/login", Rule::PUBLIC)
                .sign_in()
                .says("Sign in with e-mail and password, and a code where a second factor is set.")
                .takes::<login::LoginRequest>()
                .answers::<Tokens>(200, "an access token and a refresh token (RFC 6749, section 5.1)")
                .refuses(401, "invalid-grant: address or password is wrong")
                .refuses(401, "second-factor-required: send `totp` too")
                .refuses(401, "second-factor-wrong: the code is wrong, or was used")
                .refuses(429, "slow-down: too many wrong passwords from here; Retry-After says for how long")
                .refuses(503, "busy: too many sign in at once"),
            login::login,
        )
        .add(
            post("/api/v1/auth/refresh", Rule::PUBLIC)
                .says("Exchange a refresh token for new tokens; the one that was shown counts no more.")
                .takes::<refresh::RefreshRequest>()
                .answers::<Tokens>(200, "an access token and the next refresh token")
                .refuses(401, "invalid-grant: it has ended, was used before, or is none of ours"),
            refresh::refresh,
        )
        .add(
            post("/api/v1/auth/logout", own(Action::Update))
                .says("End this session.")
                .answers_nothing(204, "its tokens count no more"),
            sessions::logout,
        )
        .add(
            post("/api/v1/auth/password/forgot", Rule::PUBLIC)
                .sign_in()
                .says("Ask for a link to set a new password; the answer does not tell whether anybody has the address.")
                .takes::<reset::ForgotRequest>()
                .answers_nothing(202, "where the address is known, a link is on its way"),
            reset::forgot,
        )
        .add(
            post("/api/v1/auth/password/reset", Rule::PUBLIC)
                .sign_in()
                .says("Set a new password with a single-use token; every session ends.")
                .takes::<reset::ResetRequest>()
                .answers_nothing(204, "the new password counts")
                .refuses(401, "invalid-grant: the token is unknown, used or too old")
                .refuses(422, "password-refused: it is too short, too long or too common"),
            reset::reset,
        )
        .add(
            get("/reset-password", Rule::PUBLIC)
                .says("The page that a mailed link leads to: it asks for the new password.")
                .answers_bytes(200, "text/html", "the page; the token stands behind # in its address"),
            reset_page::show,
        )
        .add(
            get("/api/v1/auth/oidc/{provider}/start", Rule::PUBLIC)
                .says("Sign in at a provider of OpenID Connect: the browser is sent there.")
                .answers_nothing(303, "to the provider")
                .refuses(404, "not-found: no such provider is configured")
                .refuses(502, "provider-failed: it does not answer as it should"),
            oidc::start,
        )
        .add(
            get("/api/v1/auth/oidc/{provider}/callback", Rule::PUBLIC)
                .sign_in()
                .says("Where the provider sends the browser back to.")
                .query::<oidc::CallbackQuery>()
                .answers::<Tokens>(200, "an access token and a refresh token")
                .refuses(401, "invalid-grant: the provider let nobody in, or the sign-in was begun elsewhere")
                .refuses(401, "no-account: nobody here has this address")
                .refuses(404, "not-found: no such provider is configured")
                .refuses(502, "provider-failed: it does not answer as it should"),
            oidc::callback,
        )
        .add(
            post("/api/v1/auth/setup", Rule::PUBLIC)
                .sign_in()
                .says("Make the first administrator with the token that the first start has printed.")
                .takes::<setup::SetupRequest>()
                .answers::<Tokens>(201, "the administrator is made and signed in")
                .refuses(401, "invalid-grant: the token is unknown, used or too old"),
            setup::setup,
        )
        .add(
            post("/api/v1/auth/keys/rotate", Rule::may(Action::Update, Resource::Service))
                .says("Make a new key for signing access tokens; nobody is signed out.")
                .answers::<signing_keys::RotatedView>(201, "the new key's identifier"),
            signing_keys::rotate,
        )
        .add(
            get("/.well-known/jwks.json", Rule::PUBLIC)
                .says("The public keys that access tokens are signed with (RFC 7517).")
                .answers_bytes(200, "application/jwk-set+json", "the keys"),
            signing_keys::jwks,
        )
        .add(
            get("/api/v1/me", own(Action::Read)).says("Who asks.").answers::<MeView>(200, "the caller"),
            me::show,
        )
        .add(
            patch("/api/v1/me", own(Action::Update))
                .says("Change one's own name or address.")
                .takes::<me::MeRequest>()
                .answers::<MeView>(200, "the caller")
                .refuses(409, "email-taken: somebody has that address"),
            me::change,
        )
        .add(
            post("/api/v1/me/password", own(Action::Update))
                .says("Change one's own password; every other session ends.")
                .takes::<me::PasswordRequest>()
                .answers_nothing(204, "the new password counts")
                .refuses(422, "password-refused: it is too short, too long or too common"),
            me::change_password,
        )
        .add(
            get("/api/v1/me/sessions", own(Action::Read))
                .says("One's own sessions, newest first.")
                .answers::<Vec<SessionView>>(200, "the sessions that count"),
            sessions::list,
        )
        .add(
            delete("/api/v1/me/sessions", own(Action::Update))
                .says("End every other session of one's own.")
                .answers_nothing(204, "this one alone is left"),
            sessions::end_others,
        )
        .add(
            delete("/api/v1/me/sessions/{sessionId}", own(Action::Update))
                .says("End a session of one's own.")
                .answers_nothing(204, "its tokens count no more"),
            sessions::end,
        )
        .add(
            post("/api/v1/me/second-factor", own(Action::Update))
                .says("Begin to set a second factor (TOTP, RFC 6238).")
                .takes::<second_factor::PasswordOnly>()
                .answers::<second_factor::Enrolment>(201, "the secret, shown once")
                .refuses(409, "second-factor-set: there is one already"),
            second_factor::enrol,
        )
        .add(
            post("/api/v1/me/second-factor/confirm", own(Action::Update))
                .says("Set the second factor by a first right code.")
                .takes::<second_factor::CodeOnly>()
                .answers::<second_factor::RecoveryCodes>(200, "codes for the day the device is lost, shown once"),
            second_factor::confirm,
        )
        .add(
            post("/api/v1/me/second-factor/disable", own(Action::Update))
                .says("Take the second factor away.")
                .takes::<second_factor::Disable>()
                .answers_nothing(204, "a password is enough again"),
            second_factor::disable,
        )
        .add(
            post("/api/v1/users", member(Action::Create))
                .says("Make a user and a member of the clinic.")
                .takes::<users::UserRequest>()
                .answers::<UserView>(201, "the user")
                .refuses(409, "email-taken: somebody has that address"),
            users::create,
        )
        .add(
            get("/api/v1/users", member(Action::List)).says("The clinic's users.").paged::<UserView>("a page of users"),
            users::list,
        )
        .add(
            get("/api/v1/users/{userId}", member(Action::Read))
                .says("One user of the clinic.")
                .answers::<UserView>(200, "the user"),
            users::show,
        )
        .add(
            patch("/api/v1/users/{userId}", member(Action::Update))
                .says("Let a user sign in, or no longer.")
                .takes::<users::StateRequest>()
                .answers::<UserView>(200, "the user"),
            users::change,
        )
        .add(
            post("/api/v1/users/{userId}/reset-link", member(Action::Update))
                .says("Make a single-use token with which a user sets a new password.")
                .answers::<users::ResetLink>(201, "the token, shown once"),
            users::reset_link,
        )
        .add(
            post("/api/v1/api-keys", key(Action::Create))
                .says("Make a key for a machine; its scopes lie within one's own rights.")
                .takes::<api_keys::ApiKeyRequest>()
                .answers::<api_keys::NewApiKeyView>(201, "the key, shown once"),
            api_keys::create,
        )
        .add(
            get("/api/v1/api-keys", key(Action::List))
                .says("The clinic's keys for machines, revoked ones too.")
                .paged::<ApiKeyView>("a page of keys"),
            api_keys::list,
        )
        .add(
            delete("/api/v1/api-keys/{apiKeyId}", key(Action::Delete))
                .says("Revoke a key.")
                .answers_nothing(204, "it counts no more"),
            api_keys::revoke,
        )
        .with_state(identity)
}
