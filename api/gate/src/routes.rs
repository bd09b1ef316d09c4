//! The routes of a house: each described, each behind its rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::routing::{MethodFilter, on};
use serde_json::{Map, Value, json};

use crate::operation::Operation;
use crate::{Rule, guard};

/// Routes that check who calls before their handlers run, and describe themselves.
pub struct Routes<S = ()> {
    tag: &'static str,
    is_of_standard: bool,
    router: Router<S>,
    described: Vec<(&'static str, Arc<Operation>)>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet; `tag` is the house's name in the document.
    pub fn new(tag: &'static str) -> Self {
        Self { tag, is_of_standard: false, router: Router::new(), described: Vec::new() }
    }

    /// No routes yet, of a standard that says itself what becomes of parameters that nobody reads.
    pub fn of_standard(tag: &'static str) -> Self {
        Self { is_of_standard: true, ..Self::new(tag) }
    }

    /// With one route more: the rule of `operation` is checked, then `handler` runs.
    ///
    /// # Panics
    ///
    /// When the same path and method are there already.
    #[must_use]
    pub fn add<H, T>(mut self, mut operation: Operation, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        operation.is_of_standard = self.is_of_standard;
        let operation = Arc::new(operation);
        let filter = MethodFilter::try_from(operation.method.clone())
            .expect("the functions that make an operation name methods that axum knows");
        let mut route = on(filter, handler);
        if let Some(bytes) = operation.body_limit {
            route = route.layer(DefaultBodyLimit::max(bytes));
        }
        let guarded = Arc::clone(&operation);
        let route = route.layer(from_fn(move |request: Request, next: Next| {
            guard::pass(Arc::clone(&guarded), request, next)
        }));
        self.router = self.router.route(&operation.path, route);
        self.described.push((self.tag, operation));
        self
    }

    /// The same routes with what their handlers need.
    pub fn with_state(self, state: S) -> Routes {
        let Self { tag, is_of_standard, router, described } = self;
        Routes { tag, is_of_standard, router: router.with_state(state), described }
    }
}

impl Routes {
    /// These and `others`.
    #[must_use]
    pub fn merge(mut self, others: Self) -> Self {
        self.router = self.router.merge(others.router);
        self.described.extend(others.described);
        self
    }

    /// Every route: method, path, rule.
    pub fn rules(&self) -> impl Iterator<Item = (&http::Method, &str, Rule)> {
        self.described
            .iter()
            .map(|(_, operation)| (&operation.method, operation.path.as_str(), operation.rule))
    }

    /// The OpenAPI 3.1 document of all of them.
    pub fn document(&self, version: &str) -> Value {
        let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        let mut schemas: BTreeMap<&str, &Value> = BTreeMap::new();
        let mut told_twice = BTreeSet::new();
        for (tag, operation) in &self.described {
            let method = operation.method.as_str().to_ascii_lowercase();
            paths.entry(&operation.path).or_default().insert(method, operation.document(tag));
            for (name, schema) in &operation.schemas {
                if schemas.insert(name, schema).is_some_and(|former| former != schema) {
                    told_twice.insert(name);
                }
            }
        }
        // One would stand for the other in silence; `#[schema(as = …)]` gives a type another name.
        debug_assert!(told_twice.is_empty(), "names of several types: {told_twice:?}");
        let problem = problem_schema();
        schemas.insert("Problem", &problem);
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Medilink",
                "version": version,
                "description": "Imaging and clinical-decision compute service.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "parameters": {"IdempotencyKey": idempotency_key(), "ClinicId": clinic_id()},
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
        })
    }

    pub(crate) fn into_router(self) -> Router {
        self.router
    }
}

/// The header by which who belongs to several clinics chooses one.
fn clinic_id() -> Value {
    json!({
        "name": "X-Clinic-Id", "in": "header", "required": false,
        "description": "The clinic that is meant; without it the caller's own, of several the first.",
        "schema": {"type": "string", "format": "uuid"},
    })
}

/// The header by which a repeat is known as one.
fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "A repeat with the same key and body within 24 hours gets the first answer again.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    })
}

/// What every refusal looks like (RFC 9457).
fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "description": "Stable, for programs."},
            "instance": {"type": "string", "description": "The request's name in the log."},
            "errors": {
                "type": "array",
                "description": "Each member that must be mended, where several can be named.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
                },
            },
        },
    })
}
