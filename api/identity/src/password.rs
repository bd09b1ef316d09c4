//! Passwords: which are taken, and how they are kept.
//!
//! Sources: NIST SP 800-63B, section 5.1.1.2 (at least 8 characters, any
//! Unicode, normalized, not among the commonest, no rules of composition); OWASP
//! Password Storage Cheat Sheet (argon2id, 19 MiB, two passes, one lane).

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use gate::Problem;
use http::{HeaderValue, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization;

/// The fewest characters of a new password.
const LEAST_CHARACTERS: usize = 8;
/// The most bytes of any.
const MOST_BYTES: usize = 128;
/// So many may wait for their turn for each one whose turn it is.
const WAITING_PER_TURN: usize = 64;

/// Common ones of at least eight characters, in lower case (from the lists of leaked passwords that everybody tries
/// first); what else is on such lists is mostly too short.
const COMMON: &[&str] = &[
    "00000000",
    "11111111",
    "12121212",
    "12341234",
    "12344321",
    "123123123",
    "12345678",
    "123456789",
    "1234567890",
    "12345678910",
    "123456789a",
    "1234qwer",
    "123qwe123",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "1qazxsw2",
    "87654321",
    "88888888",
    "987654321",
    "99999999",
    "a1234567",
    "a12345678",
    "aa123456",
    "aaaaaaaa",
    "abc12345",
    "abcd1234",
    "abcdefgh",
    "access14",
    "admin123",
    "administrator",
    "asdf1234",
    "asdfasdf",
    "asdfghjk",
    "asdfghjkl",
    "baseball",
    "basketball",
    "blink182",
    "butterfly",
    "changeme",
    "charlie1",
    "chocolate",
    "computer",
    "corvette",
    "dragon123",
    "football",
    "football1",
    "garfield",
    "hellohello",
    "iloveyou",
    "iloveyou1",
    "internet",
    "jennifer",
    "jessica1",
    "liverpool",
    "letmein1",
    "letmein123",
    "liverpool1",
    "maverick",
    "medilink",
    "medilink1",
    "medilink123",
    "mercedes",
    "michael1",
    "michelle",
    "midnight",
    "monkey123",
    "passw0rd",
    "password",
    "password!",
    "password1",
    "password12",
    "password123",
    "password1234",
    "p@ssw0rd",
    "p@ssword",
    "princess",
    "princess1",
    "q1w2e3r4",
    "qazwsxedc",
    "qwer1234",
    "qwerasdf",
    "qwertyui",
    "qwertyuiop",
    "qwerty12",
    "qwerty123",
    "samantha",
    "starwars",
    "sunshine",
    "superman",
    "superman1",
    "test1234",
    "trustno1",
    "victoria",
    "welcome1",
    "welcome123",
    "whatever",
    "zaq12wsx",
    "zxcvbnm1",
    "zxcvbnm123",
];

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2 }
    }
}

impl PasswordCost {
    /// A cost that argon2 does not take is the default.
    fn argon2(self) -> Argon2<'static> {
        let params = Params::new(self.memory_kib, self.passes, 1, None).unwrap_or_default();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
    }

    /// The hash under which `password` is kept, in PHC form, worked out at once: for commands, which keep nobody
    /// waiting.
    ///
    /// # Errors
    ///
    /// When the machine has no random bytes.
    pub fn hash(self, password: &str) -> Result<String, argon2::password_hash::Error> {
        let password: String = password.nfkc().collect();
        self.argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string())
    }
}

/// A password as it came, normalized.
pub(crate) struct Password(String);

impl Password {
    /// One that may be right; `None` when it is so long that it cannot be.
    pub fn shown(text: &str) -> Option<Self> {
        (text.len() <= MOST_BYTES).then(|| Self(text.nfkc().collect()))
    }

    /// One that may be set; `about` is what everybody knows of its owner.
    pub fn new(text: &str, about: &[&str]) -> Result<Self, Problem> {
        let password = Self::shown(text).ok_or_else(|| refused("a password has at most 128 bytes"))?;
        if password.0.chars().count() < LEAST_CHARACTERS {
            return Err(refused("a password has at least 8 characters"));
        }
        let plain = password.0.to_lowercase();
        let is_one_character = plain.chars().all(|c| plain.starts_with(c));
        if COMMON.contains(&plain.as_str()) || is_one_character {
            return Err(refused("this password is among the first that everybody tries"));
        }
        if about.iter().any(|known| known.to_lowercase() == plain) {
            return Err(refused("a password is neither one's address nor one's name"));
        }
        Ok(password)
    }
}

fn refused(why: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "password-refused", why)
}

/// Hashes and checks, a few at a time: so many at once that sign-ins cannot take the machine from the rest.
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    /// What the password of nobody is held against, so that an unknown address takes as long as a known one.
    nobody: String,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Hasher {
    pub fn new(cost: PasswordCost) -> Self {
        let argon2 = cost.argon2();
        let nobody = argon2.hash_password(b"nobody").map(|hash| hash.to_string()).unwrap_or_default();
        let turns = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let places = turns * (1 + WAITING_PER_TURN);
        Self {
            argon2,
            nobody,
            turns: Arc::new(Semaphore::new(turns)),
            places: Arc::new(Semaphore::new(places)),
        }
    }

    /// The hash under which a password is kept, in PHC form.
    pub async fn hash(&self, password: Password) -> Result<String, Problem> {
        let argon2 = self.argon2.clone();
        let hashed =
            self.run(move || argon2.hash_password(password.0.as_bytes()).map(|hash| hash.to_string()));
        hashed.await?.map_err(|error| Problem::internal("password-failed", &error))
    }

    /// Whether `password` is the one of `hash`; without a hash it is wrong, and takes as long.
    pub async fn is_right(&self, password: Password, hash: Option<&str>) -> Result<bool, Problem> {
        let (argon2, is_somebody) = (self.argon2.clone(), hash.is_some());
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let is_right = self.run(move || {
            let hash = PasswordHash::new(&hash);
            hash.is_ok_and(|hash| argon2.verify_password(password.0.as_bytes(), &hash).is_ok())
        });
        Ok(is_right.await? && is_somebody)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| busy())?;
        // Both go with the work: who hangs up frees neither before it ends.
        let held: [OwnedSemaphorePermit; 2] = [place, turn];
        let done = tokio::task::spawn_blocking(move || {
            let _held = held;
            work()
        });
        done.await.map_err(|error| Problem::internal("password-failed", &error))
    }
}

fn busy() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many sign in at once: try again in a moment")
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1 };

    fn refusal(text: &str) -> Option<(u16, &'static str)> {
        Password::new(text, &["ada@example.org"]).err().map(|it| (it.status().as_u16(), it.code()))
    }

    #[test]
    fn a_new_password_is_long_enough_and_not_everybodys() {
        for text in ["short12", "password", "PassWord1", "zzzzzzzzzz", "ADA@example.org", &"x".repeat(129)] {
            assert_eq!(refusal(text), Some((422, "password-refused")), "{text}");
        }
        for text in ["correct horse battery staple", "пароль-не-тот", "🙂🙂🙂🙂🙂🙂🙃🙃", "    a   "]
        {
            assert_eq!(refusal(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_password_is_the_same_in_each_form_of_unicode() {
        let hasher = Hasher::new(CHEAP);
        let hash = hasher.hash(Password::new("caf\u{e9} au lait", &[]).unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        let shown = || Password::shown("cafe\u{301} au lait").unwrap();
        assert!(hasher.is_right(shown(), Some(&hash)).await.unwrap());
        assert!(!hasher.is_right(Password::shown("cafe au lait").unwrap(), Some(&hash)).await.unwrap());
        assert!(!hasher.is_right(Password::shown("nobody").unwrap(), None).await.unwrap());
        assert!(!hasher.is_right(shown(), Some("no hash")).await.unwrap());
    }

    /// OWASP Password Storage Cheat Sheet: m=19456 (19 MiB), t=2, p=1.
    #[tokio::test]
    async fn the_usual_cost_is_that_of_owasp() {
        let hasher = Hasher::new(PasswordCost::default());
        assert!(hasher.nobody.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hasher.nobody);
    }
}
