//! What clients of this house see.

use chrono::{DateTime, Utc};
use clinical::id::{ApiKeyId, ClinicId, LocationId, MembershipId, PatientId, SessionId, UserId};
use clinical::role::Role;
use serde::Serialize;
use storage::records::api_key::ApiKey;
use storage::records::member::Member;
use storage::records::session::Session;
use storage::records::user::User;
use utoipa::ToSchema;

/// The answer to a sign-in (RFC 6749, section 5.1).
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    /// Shown as `Authorization: Bearer …`.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// For how many seconds the access token counts.
    pub expires_in: i64,
    /// Exchanged once for new tokens, at `/api/v1/auth/refresh`.
    pub refresh_token: String,
}

/// A place of a person in a clinic.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MembershipView {
    /// Its identifier; none for the administrator's token.
    pub membership_id: Option<MembershipId>,
    /// The clinic.
    pub clinic_id: ClinicId,
    /// The role there.
    pub role: Role,
    /// A physician's specialty.
    pub specialty: Option<String>,
    /// The place they work at.
    pub location_id: Option<LocationId>,
    /// Whose records are their own.
    pub patient_id: Option<PatientId>,
}

impl From<Member> for MembershipView {
    fn from(member: Member) -> Self {
        Self {
            membership_id: Some(member.membership_id),
            clinic_id: member.clinic_id,
            role: member.position.role,
            specialty: member.position.specialty,
            location_id: member.position.location_id,
            patient_id: member.position.patient_id,
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeView {
    /// `user`, or `administrator` for who holds the service's own token.
    pub kind: &'static str,
    /// A person's identifier.
    pub user_id: Option<UserId>,
    /// A person's address.
    pub email: Option<String>,
    /// What to call them.
    pub name: String,
    /// Whether a sign-in needs a code besides the password.
    pub has_second_factor: bool,
    /// What they are where.
    pub memberships: Vec<MembershipView>,
}

/// A user, as those see them who run a clinic.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Their identifier.
    pub user_id: UserId,
    /// Their address.
    pub email: String,
    /// What to call them.
    pub name: String,
    /// `active` or `disabled`.
    pub state: &'static str,
    /// When they were made.
    pub created_at: DateTime<Utc>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            user_id: user.user_id,
            email: user.email,
            name: user.name,
            state: if user.is_active { "active" } else { "disabled" },
            created_at: user.created_at,
        }
    }
}

/// One sign-in.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Its identifier.
    pub session_id: SessionId,
    /// Whether the request itself belongs to it.
    pub is_this: bool,
    /// `password`, or the name of a provider.
    pub means: String,
    /// From where it began.
    pub address: Option<String>,
    /// What the program calls itself.
    pub device: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was refreshed last.
    pub refreshed_at: DateTime<Utc>,
    /// When it ends, unless it is refreshed.
    pub expires_at: DateTime<Utc>,
}

impl SessionView {
    pub(crate) fn of(session: Session, this: SessionId) -> Self {
        Self {
            is_this: session.session_id == this,
            session_id: session.session_id,
            means: session.means,
            address: session.address,
            device: session.device,
            created_at: session.created_at,
            refreshed_at: session.rotated_at,
            expires_at: session.expires_at,
        }
    }
}

/// A key for a machine, without the key.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyView {
    /// Its identifier.
    pub api_key_id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// What it may do: `resource:action`.
    pub scopes: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last seen, to ten minutes.
    pub used_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            api_key_id: key.api_key_id,
            name: key.name,
            scopes: key.scopes.iter().map(ToString::to_string).collect(),
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            used_at: key.used_at,
        }
    }
}
