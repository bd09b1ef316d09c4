//! The description of the paths, held to the paths themselves.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use gate::testing::{Answer, send};
use serde_json::Value;
use storage::db::Db;

use crate::support::street;

/// What everyone may see: issue point 9 names health, readiness and the documents.
const PUBLIC: [&str; 3] = ["/health", "/ready", "/api/openapi.json"];
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

type Routes = BTreeSet<(String, String)>;

async fn with_street(test: impl AsyncFnOnce(Router)) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", folder.path().join("rows.sqlite").display())).await.unwrap();
    db.migrate().await.unwrap();
    test(street(&db).router).await;
}

/// A request without a token, with 1 in place of every parameter.
async fn knock(router: &Router, method: &Method, path: &str) -> Answer {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
    let uri = parts.collect::<Vec<_>>().join("/");
    let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
    send(router, request).await
}

/// Every route of the router. axum lists paths only for debugging; the methods are found by asking.
async fn routes(router: &Router) -> Routes {
    let listing = format!("{router:?}");
    let paths: BTreeSet<&str> = listing.split('"').filter(|text| text.starts_with('/')).collect();
    assert!(paths.contains("/api/dicom/analyze/{dicomId}"), "axum lists its paths otherwise now: {listing}");
    let mut routes = Routes::new();
    for path in paths {
        for method in &METHODS {
            let answer = knock(router, method, path).await;
            // axum lists the fallback as well.
            let is_fallback = answer.status.as_u16() == 404 && answer.problem().1 == "no-such-path";
            if answer.status.as_u16() != 405 && !is_fallback {
                routes.insert((method.to_string(), path.to_owned()));
            }
        }
    }
    routes
}

fn operations(document: &Value) -> impl Iterator<Item = (String, String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
    })
}

async fn document(router: &Router) -> Value {
    knock(router, &Method::GET, "/api/openapi.json").await.json()
}

#[tokio::test]
async fn every_route_is_documented_and_nothing_else_is() {
    with_street(async |router| {
        let document = document(&router).await;
        let documented: Routes = operations(&document).map(|(method, path, _)| (method, path)).collect();
        assert_eq!(routes(&router).await, documented);
    })
    .await;
}

#[tokio::test]
async fn everything_but_the_public_paths_needs_a_token_and_the_document_says_so() {
    with_street(async |router| {
        for (method, path, operation) in operations(&document(&router).await) {
            let answer = knock(&router, &method.parse().unwrap(), &path).await;
            let is_public = PUBLIC.contains(&path.as_str());
            if is_public {
                assert_ne!(answer.status.as_u16(), 401, "{method} {path}");
            } else {
                assert_eq!(answer.problem(), (401, "token-missing".into()), "{method} {path}");
            }
            let says_public = operation.get("security").is_some_and(|needs| needs == &serde_json::json!([]));
            assert_eq!(says_public, is_public, "{method} {path}");
        }
    })
    .await;
}

/// OpenAPI 3.1.0, sections 4.8.9.1 and 4.8.12.1: every parameter of the path is declared, every reference resolves.
#[tokio::test]
async fn the_document_holds_together() {
    with_street(async |router| {
        let document = document(&router).await;
        let mut operation_ids = BTreeSet::new();
        for (method, path, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operation_ids.insert(id), "{id} stands twice");
            let in_path: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            let declared = operation["parameters"].as_array().into_iter().flatten();
            let declared: BTreeSet<&str> = declared
                .map(|given| resolved(&document, given))
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            assert_eq!(in_path, declared, "{method} {path}");
        }
        let mut references = Vec::new();
        collect_references(&document, &mut references);
        assert!(references.len() > 50, "only {} references were found", references.len());
        for reference in references {
            assert!(
                document.pointer(reference.trim_start_matches('#')).is_some(),
                "{reference} leads nowhere"
            );
        }
    })
    .await;
}

fn resolved<'a>(document: &'a Value, given: &'a Value) -> &'a Value {
    match given["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => given,
    }
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| collect_references(member, found));
        }
        Value::Array(members) => members.iter().for_each(|member| collect_references(member, found)),
        _ => {}
    }
}
