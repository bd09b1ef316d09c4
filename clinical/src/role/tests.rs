use super::*;

fn reach(role: Role, permission: &str) -> Option<Reach> {
    role.reach(permission.parse().unwrap())
}

#[test]
fn the_table_reads_and_knows_every_resource() {
    let rights = read(TABLE).unwrap();
    for resource in Resource::ALL {
        assert!(rights.keys().any(|it| it.resource == *resource), "{resource} has no row");
    }
    assert!(Resource::ALL.len() >= 25);
    assert_eq!(Role::ALL.len(), 12);
}

#[test]
fn a_broken_row_is_refused() {
    for row in [
        "patient read * c",
        "patient read x c c c c c c c c c c c",
        "patient fly * c c c c c c c c c c c",
        "patient read * c c c c c c c c c c c\npatient read * c c c c c c c c c c c",
    ] {
        assert!(read(&format!("head\n{row}")).is_err(), "{row}");
    }
}

/// The healthcare backend's own words for the roles.
#[test]
fn each_role_does_its_own_work_and_no_more() {
    assert_eq!(reach(Role::SuperAdmin, "clinic:create"), Some(Reach::Every));
    assert_eq!(reach(Role::ClinicAdmin, "clinic:create"), None);
    assert_eq!(reach(Role::Doctor, "finding:review"), Some(Reach::Clinic));
    assert_eq!(reach(Role::Nurse, "finding:review"), None);
    assert_eq!(reach(Role::Patient, "patient:read"), Some(Reach::Own));
    assert_eq!(reach(Role::Patient, "patient:list"), None);
    assert_eq!(reach(Role::Accountant, "payment:refund"), Some(Reach::Clinic));
    assert_eq!(reach(Role::InventoryManager, "patient:read"), None);
    assert_eq!(reach(Role::SystemAuditor, "audit:export"), Some(Reach::Every));
    assert_eq!(reach(Role::SystemAuditor, "patient:read"), None);
}

/// Who keeps the trail must not write what it tells of: separation of duty.
#[test]
fn the_auditor_changes_nothing_but_their_own_account() {
    for permission in permissions().filter(|it| Role::SystemAuditor.reach(*it).is_some()) {
        let changes = !matches!(permission.action, Action::Read | Action::List | Action::Export);
        let is_own = Role::SystemAuditor.reach(permission) == Some(Reach::Own);
        assert!(!changes || is_own, "{permission}");
    }
}

#[test]
fn a_name_reads_back() {
    for role in Role::ALL {
        assert_eq!(role.as_str().parse::<Role>(), Ok(*role));
        assert_eq!(serde_json::json!(role), role.as_str());
    }
    for resource in Resource::ALL {
        assert_eq!(serde_json::json!(resource), resource.as_str());
    }
    for action in Action::ALL {
        assert_eq!(serde_json::json!(action), action.as_str());
    }
    assert!("JANITOR".parse::<Role>().is_err());
}
