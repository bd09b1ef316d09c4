//! Who may do what: twelve roles by resource by action, in one table.
//!
//! Source: the roles of the clinic application that was there first; the
//! principle is least privilege (45 CFR 164.502(b), «minimum necessary»).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// What the table is read from. A cell says how far the right reaches: `*` every clinic, `c` the clinic that the
/// membership is in, `o` the person's own records there, `.` not at all.
///
/// The columns: S SUPER_ADMIN, C CLINIC_ADMIN, L LOCATION_HEAD, D DOCTOR, N NURSE, R RECEPTIONIST, P PHARMACIST,
/// T LAB_TECHNICIAN, U PATIENT, A ACCOUNTANT, I INVENTORY_MANAGER, Y SYSTEM_AUDITOR.
const TABLE: &str = "
    resource        actions              S C L D N R P T U A I Y

    account         read,update          o o o o o o o o o o o o
    clinic          create,delete        * . . . . . . . . . . .
    clinic          read                 * c c c c c c c c c c *
    clinic          list                 * o o o o o o o o o o *
    clinic          update               * c . . . . . . . . . .
    location        create,delete        * c . . . . . . . . . .
    location        update               * c c . . . . . . . . .
    location        read,list            * c c c c c c c c c c .
    member          create,update,delete * c . . . . . . . . . .
    member          read,list            * c c c c c . . . . . *
    api_key         create,delete        * c . . . . . . . . . .
    api_key         read,list            * c . . . . . . . . . *
    ae_title        create               * . . . . . . . . . . .
    ae_title        delete               * c . . . . . . . . . .
    ae_title        read,list            * c c . . . . c . . . .
    dicom_peer      create,update,delete * c . . . . . . . . . .
    dicom_peer      read,list            * c c . . . . c . . . .
    forward_rule    create,update,delete * c . . . . . . . . . .
    forward_rule    read,list            * c c . . . . c . . . .
    setting         read                 * c c . . . . . . . . *
    setting         update               * c . . . . . . . . . .
    credential      update,delete        * c . . . . . . . . . .
    credential      read                 * c . . . . . . . . . *
    break_glass     create               . . . c c . . . . . . .
    break_glass     list                 * c . . . . . . . . . *

    patient         create,update        * c c c c c . . . . . .
    patient         read                 * c c c c c c c o c . .
    patient         list                 * c c c c c c c . c . .
    patient         merge                * c . c . . . . . . . .
    patient         export               * c . c . . . . o . . .
    patient         erase                * c . . . . . . . . . .
    allergy         create,update,delete * c . c c . c . . . . .
    allergy         read,list            * c c c c . c c o . . .
    condition       create,update,delete * c . c c . . . . . . .
    condition       read,list            * c c c c . c c o . . .
    medication      create,update,delete * c . c c . c . . . . .
    medication      read,list            * c c c c . c . o . . .
    vital           create,update,delete * c . c c . . c . . . .
    vital           read,list            * c c c c . . c o . . .
    prescription    create,update        * . . c . . c . . . . .
    prescription    read,list            * c . c c . c . o . . .
    lab_report      create,update        * . . c . . . c . . . .
    lab_report      read,list            * c . c c . . c o . . .

    study           create               * c c c c . . c . . . .
    study           read                 * c c c c . . c o . . .
    study           list                 * c c c c . . c . . . .
    study           update               * c . c . . . . . . . .
    study           export               * c . c . . . . . . . .
    study           delete,erase         * c . . . . . . . . . .
    removal         list                 * c . . . . . . . . . .
    workitem        create,update        * c . c . . . c . . . .
    workitem        read,list            * c c c c . . c . . . .
    quarantine      read,list            * c c . . . . c . . . .
    quarantine      update,delete        * c . . . . . . . . . .
    analysis        create               * c . c . . . c . . . .
    analysis        read,list            * c . c c . . c . . . .
    finding         read,list            * c . c c . . c . . . .
    finding         review               * . . c . . . . . . . .
    network         create,delete        * . . . . . . . . . . .
    network         update               * c . . . . . . . . . .
    network         read,list            * c c c c . . c . . . *
    assessment      create               * . . c c . . . o . . .
    assessment      read                 * c . c c . . . o . . .
    assessment      list                 * c . c c . . . . . . .
    issue_override  create               * . . c . . c . . . . .
    issue_override  list                 * c . c c . c . . . . *
    cds_client      create,delete        * c . . . . . . . . . .
    cds_client      read,list            * c . . . . . . . . . *

    appointment     create,update,delete * c c c c c . . o . . .
    appointment     read,list            * c c c c c . . o . . .
    availability    create,update,delete * c c o . c . . . . . .
    availability    read,list            * c c c c c . . c . . .
    message         create,read,list     * o o o o o o o o o o .
    video_session   create,update,delete * c . c . . . . . . . .
    video_session   read                 * c . c c . . . o . . .
    worksheet       create,update,delete * c . c c . . . . . . .
    worksheet       read,list            * c . c c . . . o . . .

    plan            create,update,delete * c . . . . . . . c . .
    plan            read,list            * c c c c c c c c c c .
    invoice         create,update        * c . . . c . . . c . .
    invoice         read                 * c . . . c . . o c . .
    invoice         list                 * c . . . c . . o c . .
    payment         create               * c . . . c . . o c . .
    payment         read,list            * c . . . c . . o c . .
    payment         refund               * c . . . . . . . c . .
    subscription    create,update,delete * c . . . c . . o c . .
    subscription    read,list            * c . . . c . . o c . .
    inventory       create,update,delete * c . . . . c . . . c .
    inventory       read,list            * c c . c . c . . . c .

    notification    create               * c c c c c . . . . . .
    notification    read,list,update     * o o o o o o o o o o o
    app_event       create               o o o o o o o o o o o o
    report          create               * c c c . . . . . c c .
    report          read,list            * c c c . . . . . c c *
    report          export               * c . . . . . . . c . *
    audit           read,list,export     * . . . . . . . . . . *
    event           list                 * c . . . . . . . . . *
    webhook         create,update,delete * c . . . . . . . . . .
    webhook         read,list            * c . . . . . . . . . *
    webhook         replay               * c . . . . . . . . . .
    job             list                 * c . . . . . . . . . *
    job             replay               * c . . . . . . . . . .
    service         read                 * . . . . . . . . . . *
    service         update               * . . . . . . . . . . .
";

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, $case:literal { $($(#[$each:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = $case)]
        pub enum $name {
            $($(#[$each])* $variant,)*
        }

        impl $name {
            /// Every one, in the table's order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, as it is stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::openapi::schema::{ObjectBuilder, Type};
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($text),*])).into()
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(UnknownWord($what)),
                }
            }
        }
    };
}

/// A text that names none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such {0}")]
pub struct UnknownWord(pub(crate) &'static str);

words! {
    /// What a member is in a clinic.
    Role, "role", "SCREAMING_SNAKE_CASE" {
        /// Runs the whole service.
        SuperAdmin = "SUPER_ADMIN",
        /// Runs a clinic.
        ClinicAdmin = "CLINIC_ADMIN",
        /// Runs one of its locations.
        LocationHead = "LOCATION_HEAD",
        /// Treats.
        Doctor = "DOCTOR",
        /// Cares.
        Nurse = "NURSE",
        /// Receives and books.
        Receptionist = "RECEPTIONIST",
        /// Gives drugs out.
        Pharmacist = "PHARMACIST",
        /// Takes images and samples.
        LabTechnician = "LAB_TECHNICIAN",
        /// Is treated.
        Patient = "PATIENT",
        /// Keeps the money.
        Accountant = "ACCOUNTANT",
        /// Keeps the stock.
        InventoryManager = "INVENTORY_MANAGER",
        /// Reads the audit trail.
        SystemAuditor = "SYSTEM_AUDITOR",
    }
}

words! {
    /// What is acted upon.
    Resource, "resource", "snake_case" {
        /// The caller's own sign-in and profile.
        Account = "account",
        /// A clinic.
        Clinic = "clinic",
        /// A place of a clinic.
        Location = "location",
        /// A person in a clinic.
        Member = "member",
        /// A key for a machine.
        ApiKey = "api_key",
        /// A DIMSE title that means a clinic.
        AeTitle = "ae_title",
        /// An application entity to which a clinic sends.
        DicomPeer = "dicom_peer",
        /// What is forwarded to which of them.
        ForwardRule = "forward_rule",
        /// What a clinic has set.
        Setting = "setting",
        /// What opens the door of a provider.
        Credential = "credential",
        /// Access in an emergency, with a reason.
        BreakGlass = "break_glass",
        /// A patient and their demographics.
        Patient = "patient",
        /// An allergy or intolerance.
        Allergy = "allergy",
        /// A condition.
        Condition = "condition",
        /// A medication statement.
        Medication = "medication",
        /// A vital sign.
        Vital = "vital",
        /// A prescription.
        Prescription = "prescription",
        /// A laboratory report.
        LabReport = "lab_report",
        /// A DICOM study down to its frames.
        Study = "study",
        /// What was removed or rejected of the images.
        Removal = "removal",
        /// An object that is held back.
        Quarantine = "quarantine",
        /// A step of work that is to be done with images.
        Workitem = "workitem",
        /// A network's run.
        Analysis = "analysis",
        /// What a network saw.
        Finding = "finding",
        /// A network.
        Network = "network",
        /// Symptoms and their differential.
        Assessment = "assessment",
        /// Why an issue with drugs does not count.
        IssueOverride = "issue_override",
        /// A program of another house that may ask through CDS Hooks.
        CdsClient = "cds_client",
        /// An appointment.
        Appointment = "appointment",
        /// When a physician can be booked.
        Availability = "availability",
        /// A message between people.
        Message = "message",
        /// A video consultation.
        VideoSession = "video_session",
        /// A worksheet.
        Worksheet = "worksheet",
        /// A billing plan.
        Plan = "plan",
        /// An invoice.
        Invoice = "invoice",
        /// A payment.
        Payment = "payment",
        /// A subscription.
        Subscription = "subscription",
        /// Stock.
        Inventory = "inventory",
        /// Word to a person.
        Notification = "notification",
        /// What a person did in an app.
        AppEvent = "app_event",
        /// A report or analytics.
        Report = "report",
        /// The audit trail.
        Audit = "audit",
        /// A told event.
        Event = "event",
        /// Where a clinic wants events sent.
        Webhook = "webhook",
        /// Work in the queue.
        Job = "job",
        /// The numbers and the state of the service itself.
        Service = "service",
    }
}

words! {
    /// What is done.
    Action, "action", "snake_case" {
        /// Makes a new one.
        Create = "create",
        /// Looks at one.
        Read = "read",
        /// Changes one.
        Update = "update",
        /// Removes one.
        Delete = "delete",
        /// Looks at many.
        List = "list",
        /// Judges it as a physician.
        Review = "review",
        /// Joins two into one.
        Merge = "merge",
        /// Takes all of it away.
        Export = "export",
        /// Removes what the law lets be removed.
        Erase = "erase",
        /// Gives money back.
        Refund = "refund",
        /// Sends it again.
        Replay = "replay",
    }
}

/// How far a right reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// The person's own records in the clinic of the membership.
    Own,
    /// Every record of the clinic of the membership.
    Clinic,
    /// Every clinic.
    Every,
}

/// What a request needs: an action on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Permission {
    /// What is acted upon.
    pub resource: Resource,
    /// What is done.
    pub action: Action,
}

impl Permission {
    /// Whether a machine may have it: machines change neither people nor keys nor what opens doors elsewhere, nor
    /// where images go, for then whoever holds their key could make themselves more than the key.
    pub fn suits_machines(self) -> bool {
        let is_of_people = matches!(
            self.resource,
            Resource::Account
                | Resource::Member
                | Resource::ApiKey
                | Resource::AeTitle
                | Resource::DicomPeer
                | Resource::ForwardRule
                | Resource::Credential
                | Resource::BreakGlass
                | Resource::CdsClient
        );
        !is_of_people
            || matches!(self.action, Action::Read | Action::List) && self.resource != Resource::Account
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource, self.action)
    }
}

impl FromStr for Permission {
    type Err = UnknownWord;

    /// Reads `patient:read`, as a scope of an API key is written.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let (resource, action) = text.split_once(':').ok_or(UnknownWord("permission"))?;
        Ok(Self { resource: resource.parse()?, action: action.parse()? })
    }
}

impl Role {
    /// How far `permission` reaches for this role; `None` when it may not at all.
    pub fn reach(self, permission: Permission) -> Option<Reach> {
        RIGHTS.get(&permission)?.get(self as usize).copied().flatten()
    }
}

/// Every permission that some role has.
pub fn permissions() -> impl Iterator<Item = Permission> {
    RIGHTS.keys().copied()
}

type Rights = HashMap<Permission, [Option<Reach>; 12]>;

static RIGHTS: LazyLock<Rights> =
    LazyLock::new(|| read(TABLE).expect("the table reads, which the first test of this file proves"));

/// The rows of the table; the text of what does not read.
fn read(table: &str) -> Result<Rights, String> {
    let mut rights = Rights::new();
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines.skip(1) {
        let mut words = line.split_whitespace();
        let (Some(resource), Some(actions)) = (words.next(), words.next()) else {
            return Err(line.to_owned());
        };
        let cells: Vec<_> = words.map(reach_of).collect::<Option<_>>().ok_or(line)?;
        let cells: [Option<Reach>; 12] = cells.try_into().map_err(|_| line)?;
        for action in actions.split(',') {
            let permission = format!("{resource}:{action}").parse().map_err(|_| line)?;
            if rights.insert(permission, cells).is_some() {
                return Err(format!("twice: {line}"));
            }
        }
    }
    Ok(rights)
}

fn reach_of(cell: &str) -> Option<Option<Reach>> {
    match cell {
        "*" => Some(Some(Reach::Every)),
        "c" => Some(Some(Reach::Clinic)),
        "o" => Some(Some(Reach::Own)),
        "." => Some(None),
        _ => None,
    }
}
