//! Word to people: what is told to whom, by which channel, when, and what became of it.
//!
//! A notice is written in the transaction of the change that it tells of
//! (`storage::live::notify`, which every house may call). It reaches who is
//! connected over the socket at once, stands in everybody's list, and is planned
//! for the other channels by a job: person by person, by what they want, in their
//! hours, or gathered. Each delivery is a job of its own, tried again with growing
//! waits. Hears `findings_ready`, `assessment_made` and the events of money
//! ([`triggers::Triggers`]); tells `clinic_changed` when a clinic's providers change.

pub mod channel;
mod deliver;
mod delivery;
mod inbox;
mod letter;
mod numbers;
mod plan;
mod preferences;
mod quiet;
mod reports;
mod send;
mod settings;
mod state;
mod suppression;
mod sweep;
mod targets;
mod templates;
pub mod triggers;
mod view;
mod words;

use std::sync::Arc;

use clinical::role::{Action, Permission, Resource};
use gate::socket::Kinds;
use gate::{App, Routes, Rule, delete, get, patch, post, put};

use channel::ChannelState;
pub use deliver::{DeliverError, Deliverer, MailedInvoice};
pub use preferences::Preferences;
pub use settings::Settings;
pub use state::NotificationsState;
pub use suppression::SuppressionView;
pub use sweep::sweep;
pub use targets::TargetView;
pub use templates::TemplateView;
pub use view::{DeliveryView, NotificationView};

/// The house, ready to be joined to others.
pub fn routes(state: NotificationsState) -> Routes {
    let channels = ChannelState {
        app: state.app.clone(),
        switchboard: state.switchboard.clone(),
        reports: reports(&state.app),
    };
    let routes = Routes::new("notifications");
    let routes = of_the_list(routes);
    let routes = of_sending(routes);
    let routes = of_wishes(routes);
    of_the_clinic(routes).with_state(state).merge(channel::routes(channels))
}

/// Whoever is told what providers report of messages that they have taken.
pub fn reports(app: &App) -> Arc<dyn channel::ReportListener> {
    Arc::new(reports::Reports(app.clone()))
}

/// With what the house hears over the socket.
pub fn plug(kinds: Kinds, app: &App) -> Kinds {
    let may = Permission { resource: Resource::Notification, action: Action::Update };
    kinds.plug("notification_read", may, Arc::new(inbox::ReadMarks(app.clone())))
}

fn own(action: Action) -> Rule {
    Rule::may(action, Resource::Notification).own_by_caller()
}

fn of_the_list(routes: Routes<NotificationsState>) -> Routes<NotificationsState> {
    routes
        .add(
            get("/api/v1/notifications", own(Action::List))
                .says("The caller's notifications, newest first.")
                .query::<inbox::Filter>()
                .paged::<NotificationView>("The caller's notifications."),
            inbox::list,
        )
        .add(
            get("/api/v1/notifications/unread-count", own(Action::List))
                .says("How many of the caller's notifications were not read.")
                .answers::<inbox::Count>(200, "The count."),
            inbox::unread_count,
        )
        .add(
            post("/api/v1/notifications/read-all", own(Action::Update))
                .says("Mark all of the caller's notifications as read.")
                .answers::<inbox::Count>(200, "How many were not read."),
            inbox::mark_all,
        )
        .add(
            get("/api/v1/notifications/{id}", own(Action::Read))
                .says("One of the caller's notifications.")
                .answers::<NotificationView>(200, "The notification."),
            inbox::show,
        )
        .add(
            patch("/api/v1/notifications/{id}/read", own(Action::Update))
                .says("Mark one of the caller's notifications as read.")
                .answers_nothing(204, "It is read."),
            inbox::mark,
        )
        .add(
            delete("/api/v1/notifications/{id}", own(Action::Update))
                .says("Take a notification out of the caller's list.")
                .answers_nothing(204, "It is gone."),
            inbox::remove,
        )
}

fn of_sending(routes: Routes<NotificationsState>) -> Routes<NotificationsState> {
    let may = || Rule::may(Action::Create, Resource::Notification);
    routes
        .add(
            post("/api/v1/notifications", may())
                .says("Tell one person, or several, something.")
                .takes::<send::NewNotification>()
                .answers::<send::SentView>(201, "Who was told.")
                .refuses(422, "invalid-notification, invalid-recipients"),
            send::create,
        )
        .add(
            post("/api/v1/notifications/bulk", may())
                .says("Tell many people something of their own: all of it, or nothing.")
                .takes::<send::Bulk>()
                .answers::<Vec<send::SentView>>(201, "Who was told, in the order of the request.")
                .refuses(422, "invalid-notification, invalid-recipients"),
            send::create_bulk,
        )
        .add(
            post("/api/v1/notifications/broadcast", may())
                .says("Tell everybody of a role, or of the clinic, the same.")
                .takes::<send::Broadcast>()
                .answers::<send::SentView>(201, "How many were told.")
                .refuses(422, "invalid-notification"),
            send::broadcast,
        )
}

fn of_wishes(routes: Routes<NotificationsState>) -> Routes<NotificationsState> {
    let token = |path: &str| {
        post(path, own(Action::Update))
            .takes::<targets::PushToken>()
            .answers::<TargetView>(201, "The device; registered again, it is the same.")
            .refuses(403, "people-only: machines have no devices")
            .refuses(422, "invalid-token, invalid-text")
    };
    routes
        .add(
            get("/api/v1/notifications/preferences", own(Action::Read))
                .says("How the caller wants to be told, in every clinic of theirs.")
                .answers::<Preferences>(200, "The wishes."),
            preferences::show,
        )
        .add(
            put("/api/v1/notifications/preferences", own(Action::Update))
                .says("Say how the caller wants to be told; what is left out is as usual.")
                .takes::<Preferences>()
                .answers::<Preferences>(200, "The wishes.")
                .refuses(403, "people-only: machines have no wishes")
                .refuses(422, "invalid-preferences"),
            preferences::write,
        )
        .add(
            token("/api/mobile/push-token").says("Register the device's token for pushes."),
            targets::register_token,
        )
        .add(
            token("/api/v1/notifications/push-tokens").says("Register a device's token for pushes."),
            targets::register_token,
        )
        .add(
            post("/api/v1/notifications/push-subscriptions", own(Action::Update))
                .says("Register the browser's subscription to pushes.")
                .takes::<targets::NewSubscription>()
                .answers::<TargetView>(201, "The browser; registered again, it is the same.")
                .refuses(403, "people-only: machines have no browsers")
                .refuses(422, "invalid-subscription: no public address, or keys that are none"),
            targets::register_browser,
        )
        .add(
            get("/api/v1/notifications/push-key", own(Action::Read))
                .says("The key that pages subscribe to pushes with (VAPID).")
                .answers::<targets::PushKeyView>(200, "The public key."),
            targets::push_key,
        )
        .add(
            get("/api/v1/notifications/push-targets", own(Action::List))
                .says("The devices and browsers that the caller is reached at.")
                .answers::<Vec<TargetView>>(200, "At most twenty."),
            targets::list,
        )
        .add(
            delete("/api/v1/notifications/push-targets/{id}", own(Action::Update))
                .says("Send no more pushes to one of the caller's devices.")
                .answers_nothing(204, "It is forgotten."),
            targets::remove,
        )
}

fn of_the_clinic(routes: Routes<NotificationsState>) -> Routes<NotificationsState> {
    let may = |action| Rule::may(action, Resource::Setting);
    routes
        .add(
            get("/api/v1/notifications/settings", may(Action::Read))
                .says("What the clinic allows to be told where others may read it.")
                .answers::<Settings>(200, "The settings."),
            settings::show,
        )
        .add(
            put("/api/v1/notifications/settings", may(Action::Update))
                .says("Set what the clinic allows to be told where others may read it.")
                .takes::<Settings>()
                .answers::<Settings>(200, "The settings.")
                .refuses(422, "invalid-settings"),
            settings::write,
        )
        .add(
            get("/api/v1/notifications/templates", may(Action::Read))
                .says("The clinic's own words; for what it has none the program's count.")
                .answers::<Vec<TemplateView>>(200, "At most 500."),
            templates::list,
        )
        .add(
            put("/api/v1/notifications/templates/{name}/{locale}", may(Action::Update))
                .says("Put a kind of message into the clinic's own words.")
                .takes::<templates::TemplateRequest>()
                .answers::<TemplateView>(200, "The words.")
                .refuses(409, "too-many-templates: the clinic has 500")
                .refuses(422, "invalid-text, template-broken, template-unknown-value"),
            templates::write,
        )
        .add(
            delete("/api/v1/notifications/templates/{name}/{locale}", may(Action::Update))
                .says("Use the program's words again.")
                .answers_nothing(204, "The clinic's are gone."),
            templates::remove,
        )
        .add(
            get("/api/v1/notifications/suppressions", may(Action::Read))
                .says("The addresses to which nothing is sent any more, newest first.")
                .paged::<SuppressionView>("The clinic's."),
            suppression::list,
        )
        .add(
            post("/api/v1/notifications/suppressions", may(Action::Update))
                .says("Send nothing more to an address.")
                .takes::<suppression::NewSuppression>()
                .answers_nothing(204, "Nothing is sent there.")
                .refuses(422, "invalid-address"),
            suppression::create,
        )
        .add(
            delete("/api/v1/notifications/suppressions/{id}", may(Action::Update))
                .says("Write to an address again.")
                .answers_nothing(204, "It is written to again."),
            suppression::remove,
        )
        .add(
            get("/api/v1/notifications/deliveries", may(Action::Read))
                .says("What became of the clinic's notifications by every channel, newest first.")
                .query::<numbers::Filter>()
                .paged::<DeliveryView>("The clinic's deliveries."),
            numbers::deliveries,
        )
        .add(
            get("/api/v1/notifications/analytics", Rule::may(Action::Read, Resource::Report))
                .says("How deliveries fared, channel by channel.")
                .query::<numbers::Span>()
                .answers::<Vec<numbers::ChannelNumbers>>(200, "A row for each channel but the list.")
                .refuses(400, "invalid-span"),
            numbers::show,
        )
}
