//! The description of the paths, held to the paths themselves.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use clinical::id::ClinicId;
use gate::testing::{Answer, send};
use serde_json::Value;
use storage::db::Db;

use crate::support::street;

/// What everyone may see: whether the service lives, what it speaks, and the doors by which one signs in.
const PUBLIC: [&str; 28] = [
    "/health",
    "/ready",
    "/api/status",
    "/openapi.json",
    "/api/openapi.json",
    "/docs",
    "/docs/{file}",
    "/fhir/R4/metadata",
    "/dicom-web/",
    "/dicom-web/capabilities",
    "/.well-known/jwks.json",
    "/api/v1/auth/setup",
    "/api/v1/auth/login",
    "/api/v1/auth/refresh",
    "/api/v1/auth/password/forgot",
    "/api/v1/auth/password/reset",
    "/reset-password",
    "/api/v1/auth/oidc/{provider}/start",
    "/api/v1/auth/oidc/{provider}/callback",
    // whose token counts there is the clinic's to say, not ours
    "/cds-services",
    "/cds-services/{serviceId}",
    "/cds-services/{serviceId}/feedback",
    // the socket's first message holds the token
    "/ws",
    "/api/ws",
    // whose signature counts
    "/api/v1/communication/webhooks/{provider}",
    "/api/v1/communication/webhooks/{provider}/{clinicId}",
    "/api/payments/webhooks/{provider}",
    "/api/payments/webhooks/{provider}/{clinicId}",
];
const METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

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
    knock(router, &Method::GET, "/openapi.json").await.json()
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
            assert_eq!(operation.get("x-public").is_some(), is_public, "{method} {path}");
            assert_eq!(operation.get("x-permission").is_some(), !is_public, "{method} {path}");
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

/// As whoever runs the installation, with an identifier in place of every parameter.
async fn ask(router: &Router, method: &str, path: &str, query: &str) -> Answer {
    let id = ClinicId::DEFAULT.to_string();
    let parts = path.split('/').map(|part| if part.starts_with('{') { id.as_str() } else { part });
    let uri = format!("{}{query}", parts.collect::<Vec<_>>().join("/"));
    let request = gate::testing::request(method.parse().unwrap(), &uri);
    send(router, request.body(Body::empty()).unwrap()).await
}

/// The standards of imaging and records say themselves what becomes of parameters that nobody reads.
#[tokio::test]
async fn a_parameter_that_nobody_reads_is_refused_but_where_a_standard_says_otherwise() {
    with_street(async |router| {
        let mut refused = 0;
        for (method, path, operation) in operations(&document(&router).await) {
            let is_of_standard = ["dicomweb", "fhir"].contains(&operation["tags"][0].as_str().unwrap());
            if operation.get("x-public").is_some() || path == "/api/v1/auth/logout" {
                continue;
            }
            let answer = ask(&router, &method, &path, "?nobodyReadsThis=1").await;
            let is_problem = answer.header("content-type") == "application/problem+json";
            let code = if is_problem { answer.problem().1 } else { String::new() };
            if code == "not-allowed" {
                continue; // what only people may do
            }
            if is_of_standard {
                assert_ne!(code, "unknown-parameter", "{method} {path}");
            } else {
                assert_eq!(
                    (answer.status.as_u16(), code.as_str()),
                    (400, "unknown-parameter"),
                    "{method} {path}"
                );
                refused += 1;
            }
        }
        assert!(refused > 100, "only {refused} routes were asked");
    })
    .await;
}

#[tokio::test]
async fn a_body_that_may_be_left_out_is_not_asked_for() {
    with_street(async |router| {
        let mut asked = 0;
        for (method, path, operation) in operations(&document(&router).await) {
            if operation["requestBody"]["required"] == false {
                let answer = ask(&router, &method, &path, "").await;
                assert_ne!(answer.status.as_u16(), 415, "{method} {path}");
                asked += 1;
            }
        }
        assert_eq!(asked, 4);
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

/// What a client builds upon changes only where a reviewer sees it.
///
/// `UPDATE_GOLDEN=1 ./test -- -p api` writes the file anew.
#[tokio::test]
async fn the_document_is_the_one_that_was_reviewed() {
    with_street(async |router| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/openapi.json");
        let made = format!("{:#}\n", document(&router).await);
        #[expect(clippy::disallowed_methods, reason = "a test has no Config")]
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let differs = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
        assert!(
            kept == made,
            "the description has changed from line {:?}: look at it, then run with UPDATE_GOLDEN=1",
            differs.map(|line| line + 1)
        );
    })
    .await;
}
