//! What a route asks of whoever calls it.

use clinical::role::{Action, Permission, Resource};
use serde_json::{Value, json};

/// The rule of a route; none can be made without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    permission: Option<Permission>,
    own: Own,
}

/// How a right that reaches only the caller's own records is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// The route has no own records: such a right does not open it.
    Refused,
    /// The path names the patient; the gate compares.
    Path(&'static str),
    /// The handler asks [`crate::Caller::owns`] once the record is loaded.
    Record,
    /// The handler touches nothing but what is the caller's.
    Caller,
}

impl Rule {
    /// Open to everybody.
    pub const PUBLIC: Self = Self { permission: None, own: Own::Refused };

    /// Open to those whose role may do `action` to `resource`.
    pub const fn may(action: Action, resource: Resource) -> Self {
        Self { permission: Some(Permission { resource, action }), own: Own::Refused }
    }

    /// Whose right reaches only their own records must be the patient that `parameter` of the path names.
    #[must_use]
    pub const fn own_by_path(mut self, parameter: &'static str) -> Self {
        self.own = Own::Path(parameter);
        self
    }

    /// Whose right reaches only their own records is held by the handler, through [`crate::Caller::owns`].
    #[must_use]
    pub const fn own_by_record(mut self) -> Self {
        self.own = Own::Record;
        self
    }

    /// The handler touches nothing but the caller's own account or records.
    #[must_use]
    pub const fn own_by_caller(mut self) -> Self {
        self.own = Own::Caller;
        self
    }

    /// What is needed; `None` where the route is public.
    pub fn permission(&self) -> Option<Permission> {
        self.permission
    }

    pub(crate) fn own(&self) -> Own {
        self.own
    }

    /// As the OpenAPI document tells it: a key and its value.
    pub(crate) fn described(&self) -> (&'static str, Value) {
        let Some(permission) = self.permission else { return ("x-public", json!(true)) };
        let own = match self.own {
            Own::Refused => Value::Null,
            Own::Path(parameter) => json!({"path": parameter}),
            Own::Record => json!("record"),
            Own::Caller => json!("caller"),
        };
        let document = json!({
            "resource": permission.resource,
            "action": permission.action,
            "ownRecord": own,
        });
        ("x-permission", document)
    }
}
