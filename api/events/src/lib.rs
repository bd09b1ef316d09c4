//! What has happened in a clinic, where it wants to be told of it, and the work that could not be done.
//!
//! Tells nothing; `webhook_disabled` is told by whoever brings events to the
//! webhooks. The records are `storage`'s, because the hub works on them.

mod deliveries;
mod event;
mod job;
mod state;
mod text;
mod view;
mod webhook;

use clinical::role::{Action, Resource};
use gate::{App, Routes, Rule, delete, get, patch, post};
use storage::records::webhook::target::Targets;

use state::EventsState;
pub use view::{DeliveryView, EventView, JobView, WebhookView};

/// The house, ready to be joined to others; webhooks may point at `targets`.
pub fn routes(app: App, targets: Targets) -> Routes {
    let routes = Routes::new("events");
    let routes = of_events_and_jobs(routes);
    let routes = of_webhooks(routes);
    of_deliveries(routes).with_state(EventsState { app, targets })
}

fn of_events_and_jobs(routes: Routes<EventsState>) -> Routes<EventsState> {
    routes
        .add(
            get("/api/v1/events", Rule::may(Action::List, Resource::Event))
                .says("What has happened in the clinic, newest first.")
                .query::<event::Filter>()
                .paged::<EventView>("The clinic's events."),
            event::list,
        )
        .add(
            get("/api/v1/jobs", Rule::may(Action::List, Resource::Job))
                .says("The clinic's work that was tried too often, newest first.")
                .query::<job::Filter>()
                .paged::<JobView>("Dead jobs."),
            job::list,
        )
        .add(
            post("/api/v1/jobs/{id}/replay", Rule::may(Action::Replay, Resource::Job))
                .says("Give a dead job all its tries anew.")
                .answers_nothing(204, "It waits to be done."),
            job::replay,
        )
}

fn of_webhooks(routes: Routes<EventsState>) -> Routes<EventsState> {
    let may = |action| Rule::may(action, Resource::Webhook);
    routes
        .add(
            post("/api/v1/webhooks", may(Action::Create))
                .says("Have the clinic's events sent somewhere; the answer shows the signing secret once.")
                .takes::<webhook::NewWebhook>()
                .answers::<WebhookView>(201, "The new webhook with its secret.")
                .refuses(400, "invalid-url, invalid-text, unknown-event")
                .refuses(409, "too-many-webhooks: the clinic has as many as it may"),
            webhook::create,
        )
        .add(
            get("/api/v1/webhooks", may(Action::List))
                .says("The clinic's webhooks, newest first.")
                .paged::<WebhookView>("The clinic's webhooks, without their secrets."),
            webhook::list,
        )
        .add(
            get("/api/v1/webhooks/{id}", may(Action::Read))
                .says("One webhook.")
                .answers::<WebhookView>(200, "The webhook, without its secret."),
            webhook::show,
        )
        .add(
            patch("/api/v1/webhooks/{id}", may(Action::Update))
                .says("Change a webhook, or switch it off and on; on again, it is sent what waits.")
                .takes::<webhook::WebhookPatch>()
                .answers::<WebhookView>(200, "The changed webhook.")
                .refuses(400, "invalid-url, invalid-text, unknown-event"),
            webhook::change,
        )
        .add(
            delete("/api/v1/webhooks/{id}", may(Action::Delete))
                .says("Remove a webhook and the list of its deliveries.")
                .answers_nothing(204, "It is gone."),
            webhook::remove,
        )
        .add(
            post("/api/v1/webhooks/{id}/rotate-secret", may(Action::Update))
                .says("Give a webhook a new secret, shown once; the one before it signs too for a day.")
                .answers::<WebhookView>(200, "The webhook with its new secret."),
            webhook::rotate_secret,
        )
}

fn of_deliveries(routes: Routes<EventsState>) -> Routes<EventsState> {
    routes
        .add(
            get("/api/v1/webhooks/{id}/deliveries", Rule::may(Action::List, Resource::Webhook))
                .says("What was sent to a webhook or waits for it, newest first.")
                .query::<deliveries::Filter>()
                .paged::<DeliveryView>("Deliveries."),
            deliveries::list,
        )
        .add(
            post(
                "/api/v1/webhooks/{id}/deliveries/{deliveryId}/replay",
                Rule::may(Action::Replay, Resource::Webhook),
            )
            .says("Send an event to a webhook again, ahead of later events of the same record.")
            .answers::<DeliveryView>(202, "It waits to be sent.")
            .refuses(409, "webhook-disabled: switch it on first"),
            deliveries::replay,
        )
}
