//! What this service can do (PS3.18, section 8.9), told from the description of its own routes.
//!
//! The words are those of WADL (W3C submission of 2009), written as JSON: an attribute begins with `@`.

use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::base_url::BaseUrl;

/// Below this path everything lies that is told.
const BASE: &str = "/dicom-web";

/// The resources, without their base.
#[derive(Debug, Clone)]
pub(crate) struct Capabilities(Arc<Vec<Value>>);

impl Capabilities {
    /// Those of an OpenAPI document.
    pub(crate) fn of(document: &Value) -> Self {
        let paths = document["paths"].as_object().into_iter().flatten();
        let resources = paths.filter_map(|(path, methods)| {
            let path = path.strip_prefix(BASE)?.trim_start_matches('/');
            let methods = methods.as_object()?.iter().map(|(name, operation)| method(name, operation));
            Some(json!({"@path": path, "method": methods.collect::<Vec<_>>()}))
        });
        Self(Arc::new(resources.collect()))
    }

    /// The document, where the client reaches the house at `base`.
    pub(crate) fn answer(&self, base: &BaseUrl) -> Response {
        let resources = json!({"@base": format!("{}/", base.0), "resource": *self.0});
        let document = json!({"application": {"resources": resources}}).to_string();
        let mut response = document.into_response();
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

fn method(name: &str, operation: &Value) -> Value {
    let parameters = operation["parameters"].as_array().into_iter().flatten().filter_map(|parameter| {
        let style = match parameter["in"].as_str()? {
            "path" => "template",
            place => place,
        };
        Some(json!({
            "@name": parameter["name"],
            "@style": style,
            "@required": parameter["required"],
        }))
    });
    let mut request = Map::new();
    request.insert("param".to_owned(), parameters.collect());
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        request.insert("representation".to_owned(), representations(content));
    }
    let responses = operation["responses"].as_object().into_iter().flatten();
    let responses = responses.filter(|(status, _)| status.as_str() != "default").map(|(status, response)| {
        let content = response["content"].as_object();
        json!({
            "@status": status,
            "doc": response["description"],
            "representation": content.map_or(json!([]), representations),
        })
    });
    json!({
        "@name": name.to_ascii_uppercase(),
        "@id": operation["operationId"],
        "doc": operation["summary"],
        "request": request,
        "response": responses.collect::<Vec<_>>(),
    })
}

fn representations(content: &Map<String, Value>) -> Value {
    content.keys().map(|media_type| json!({"@mediaType": media_type})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_told_with_its_parameters_and_media_types() {
        let document = json!({"paths": {
            "/health": {"get": {}},
            "/dicom-web/studies/{study}": {"get": {
                "operationId": "x", "summary": "All instances.",
                "parameters": [
                    {"name": "study", "in": "path", "required": true},
                    {"$ref": "#/components/parameters/ClinicId"},
                ],
                "responses": {
                    "200": {"description": "The bytes.", "content": {"multipart/related": {}}},
                    "default": {"description": "any other"},
                },
            }},
        }});
        let Capabilities(resources) = Capabilities::of(&document);
        assert_eq!(
            *resources,
            [json!({"@path": "studies/{study}", "method": [{
                "@name": "GET", "@id": "x", "doc": "All instances.",
                "request": {"param": [{"@name": "study", "@style": "template", "@required": true}]},
                "response": [{
                    "@status": "200", "doc": "The bytes.",
                    "representation": [{"@mediaType": "multipart/related"}],
                }],
            }]})]
        );
    }
}
