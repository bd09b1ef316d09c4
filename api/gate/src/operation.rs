//! One route as it is described: method, path, rule, what it takes and answers.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::Query;
use http::{Method, Uri};
use serde_json::{Map, Value, json};
use utoipa::openapi::path::ParameterIn;
use utoipa::{IntoParams, ToSchema};

use crate::{Problem, Rule};

/// So much of a parameter's name is said again.
const NAME_CHARACTERS: usize = 64;

/// A described route; [`crate::Routes::add`] joins it to its handler.
#[derive(Debug, Clone)]
pub struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) rule: Rule,
    pub(crate) body_limit: Option<usize>,
    pub(crate) is_streamed: bool,
    pub(crate) is_told_once_a_minute: bool,
    /// Passwords and other secrets are tried here.
    pub(crate) is_sign_in: bool,
    /// It is asked so often, and costs so little, that it takes no place among the requests in flight.
    pub(crate) is_probe: bool,
    /// What becomes of parameters that nobody reads, its standard says.
    pub(crate) is_of_standard: bool,
    summary: &'static str,
    parameters: Vec<Value>,
    request: Option<Value>,
    responses: BTreeMap<String, Value>,
    pub(crate) schemas: BTreeMap<String, Value>,
}

macro_rules! methods {
    ($($name:ident $method:ident)*) => {$(
        #[doc = concat!("`", stringify!($method), "` on `path`, to those whom `rule` lets in.")]
        pub fn $name(path: impl Into<String>, rule: Rule) -> Operation {
            Operation::new(Method::$method, path.into(), rule)
        }
    )*};
}

methods! { get GET post POST put PUT patch PATCH delete DELETE options OPTIONS }

impl Operation {
    fn new(method: Method, path: String, rule: Rule) -> Self {
        let parameters = names_in(&path)
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": named_in_path(name)}))
            .collect();
        Self {
            method,
            path,
            rule,
            body_limit: None,
            is_streamed: false,
            is_told_once_a_minute: false,
            is_sign_in: false,
            is_probe: false,
            is_of_standard: false,
            summary: "",
            parameters,
            request: None,
            responses: BTreeMap::new(),
            schemas: BTreeMap::new(),
        }
    }

    /// What it does, in one sentence.
    #[must_use]
    pub fn says(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// It takes a JSON body.
    #[must_use]
    pub fn takes<T: ToSchema>(mut self) -> Self {
        let schema = self.schema_of::<T>();
        self.request = Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}));
        self
    }

    /// It takes a JSON body that may be left out, as [`crate::OrEmpty`] reads it.
    #[must_use]
    pub fn may_take<T: ToSchema>(self) -> Self {
        let mut taking = self.takes::<T>();
        if let Some(request) = &mut taking.request {
            request["required"] = false.into();
        }
        taking
    }

    /// It takes a body of another type.
    #[must_use]
    pub fn takes_bytes(mut self, media_type: &'static str, schema: Value) -> Self {
        let content = json!({ media_type: {"schema": schema} });
        self.request = Some(json!({"required": true, "content": content}));
        self
    }

    /// It takes these parameters in the query.
    #[must_use]
    pub fn query<T: IntoParams>(mut self) -> Self {
        let parameters = T::into_params(|| Some(ParameterIn::Query));
        self.parameters.extend(parameters.iter().map(|parameter| {
            let mut parameter = json!(parameter);
            without_null(&mut parameter["schema"]);
            parameter
        }));
        self
    }

    /// It takes a parameter that its type does not tell: the schema of `name` in the query.
    #[must_use]
    pub fn query_value(mut self, name: &'static str, schema: Value) -> Self {
        self.parameters.push(json!({"name": name, "in": "query", "required": false, "schema": schema}));
        self
    }

    /// It takes a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, about: &'static str) -> Self {
        let parameter = json!({
            "name": name, "in": "header", "required": false, "description": about, "schema": {"type": "string"}
        });
        self.parameters.push(parameter);
        self
    }

    /// The schema of one parameter of the path, where it is not any text.
    #[must_use]
    pub fn path_value(mut self, name: &'static str, schema: Value) -> Self {
        for parameter in &mut self.parameters {
            if parameter["in"] == "path" && parameter["name"] == name {
                parameter["schema"] = schema.clone();
            }
        }
        self
    }

    /// It lists, a page at a time: `limit` and `cursor` in, `Link` out.
    #[must_use]
    pub fn paged<T: ToSchema>(mut self, about: &'static str) -> Self {
        let schema = self.schema_of::<T>();
        self.parameters.push(json!({
            "name": "limit", "in": "query", "required": false,
            "schema": {"type": "integer", "minimum": 1, "maximum": 1000}
        }));
        self.parameters.push(json!({
            "name": "cursor", "in": "query", "required": false,
            "schema": {"type": "string", "pattern": "^m1[0-9a-fA-F]{32}$"},
            "description": "Where the page begins: as the Link header of the page before gives it."
        }));
        self.responses.insert(
            "200".to_owned(),
            json!({
                "description": about,
                "headers": {"Link": {"description": "rel=\"next\": the next page (RFC 8288)", "schema": {"type": "string"}}},
                "content": {"application/json": {"schema": {"type": "array", "items": schema}}}
            }),
        );
        self
    }

    /// It answers `status` with JSON.
    #[must_use]
    pub fn answers<T: ToSchema>(mut self, status: u16, about: &'static str) -> Self {
        let schema = self.schema_of::<T>();
        let answer = json!({"description": about, "content": {"application/json": {"schema": schema}}});
        self.responses.insert(status.to_string(), answer);
        self
    }

    /// It answers `status` with a body of another type.
    #[must_use]
    pub fn answers_bytes(mut self, status: u16, media_type: &'static str, about: &'static str) -> Self {
        let answer = self
            .responses
            .entry(status.to_string())
            .or_insert_with(|| json!({"description": about, "content": {}}));
        answer["content"][media_type] = json!({});
        self
    }

    /// It answers `status` without a body.
    #[must_use]
    pub fn answers_nothing(mut self, status: u16, about: &'static str) -> Self {
        self.responses.insert(status.to_string(), json!({"description": about}));
        self
    }

    /// It refuses with a problem: `"code: when"`.
    #[must_use]
    pub fn refuses(mut self, status: u16, when: &'static str) -> Self {
        let refusal = problem(when);
        match self.responses.get_mut(&status.to_string()) {
            Some(present) => {
                let both = format!("{}; {when}", present["description"].as_str().unwrap_or_default());
                present["description"] = both.into();
                if present["content"].is_null() {
                    present["content"] = refusal["content"].clone();
                }
            }
            None => {
                self.responses.insert(status.to_string(), refusal);
            }
        }
        self
    }

    /// The body may have so many bytes, instead of [`crate::HttpLimits::json_bytes`].
    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// Its body or answer streams: no time-out binds the whole of it, and it is never kept for a repeat.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.is_streamed = true;
        self
    }

    /// The audit trail holds one row a person, patient record and minute, for what is read in many small parts.
    #[must_use]
    pub fn told_once_a_minute(mut self) -> Self {
        self.is_told_once_a_minute = true;
        self
    }

    /// Passwords or other secrets are tried here: an address may ask seldom.
    #[must_use]
    pub fn sign_in(mut self) -> Self {
        self.is_sign_in = true;
        self
    }

    /// A machine asks again and again whether the service is well: answered however busy it is.
    #[must_use]
    pub fn probe(mut self) -> Self {
        self.is_probe = true;
        self
    }

    /// Whether a repeat under the same `Idempotency-Key` gets the first answer.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.method == Method::POST && !self.is_streamed && self.rule.permission().is_some()
    }

    /// Passes where every parameter of the query is read here: one that is passed over would look as if it had been heeded.
    ///
    /// # Errors
    ///
    /// 400 `unknown-parameter` names the first that is not. A query that does not read is the handler's to refuse.
    pub(crate) fn reads_all_of(&self, uri: &Uri) -> Result<(), Problem> {
        let Ok(Query(asked)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else { return Ok(()) };
        let of_query = self.parameters.iter().filter(|it| it["in"] == "query");
        let known: Vec<&str> = of_query.filter_map(|it| it["name"].as_str()).collect();
        let Some((name, _)) = asked.iter().find(|(name, _)| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let name: String = name.chars().take(NAME_CHARACTERS).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let is_clinic = name.to_ascii_lowercase().contains("clinic");
        let hint = if is_clinic { "; the header X-Clinic-Id chooses a clinic" } else { "" };
        let detail = format!("this path does not read the parameter {name}, only {known}{hint}");
        Err(Problem::bad_request("unknown-parameter", detail))
    }

    /// How long the whole of it may take.
    pub(crate) fn time_out(&self, usual: Duration) -> Option<Duration> {
        (!self.is_streamed).then_some(usual)
    }

    fn schema_of<T: ToSchema>(&mut self) -> Value {
        let mut found = Vec::new();
        T::schemas(&mut found);
        for (name, schema) in found {
            self.schemas.entry(name).or_insert_with(|| json!(schema));
        }
        let schema = json!(T::schema());
        if !is_named(&schema) {
            return schema;
        }
        let name = T::name().into_owned();
        self.schemas.insert(name.clone(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// The Operation Object (OpenAPI 3.1, section 4.8.10).
    pub(crate) fn document(&self, tag: &str) -> Value {
        let mut document = Map::new();
        document.insert("tags".to_owned(), json!([tag]));
        document.insert("summary".to_owned(), self.summary.into());
        document.insert("operationId".to_owned(), operation_id(&self.method, &self.path).into());
        let (key, rule) = self.rule.described();
        document.insert(key.to_owned(), rule);
        let mut parameters = self.parameters.clone();
        if self.is_repeatable() {
            parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        }
        let names_clinic = self.path.contains("{clinicId}");
        if self.rule.permission().is_some() && !names_clinic {
            parameters.push(json!({"$ref": "#/components/parameters/ClinicId"}));
        }
        document.insert("parameters".to_owned(), parameters.into());
        if let Some(request) = &self.request {
            document.insert("requestBody".to_owned(), request.clone());
        }
        let mut responses = self.responses.clone();
        if self.rule.permission().is_some() {
            responses
                .entry("401".to_owned())
                .or_insert_with(|| problem("token-missing, token-invalid: sign in"));
            responses
                .entry("403".to_owned())
                .or_insert_with(|| problem("not-allowed: the role may not do this"));
            responses.entry("404".to_owned()).or_insert_with(|| problem("not-found: no such record here"));
            document.insert("security".to_owned(), json!([{"bearer": []}]));
        }
        responses
            .entry("429".to_owned())
            .or_insert_with(|| problem("too-many-requests: Retry-After says when"));
        responses.entry("default".to_owned()).or_insert_with(|| problem("any other refusal or failure"));
        document.insert("responses".to_owned(), json!(responses));
        document.into()
    }
}

/// A parameter of the path that is called an id is one of ours; any other is what [`Operation::path_value`] says.
fn named_in_path(name: &str) -> Value {
    if name == "id" || name.ends_with("Id") {
        return json!({"type": "string", "format": "uuid"});
    }
    json!({"type": "string"})
}

/// A parameter of the query is there or is not: it has no way to be `null`.
fn without_null(schema: &mut Value) {
    if let Some([named, Value::String(null)]) = schema["type"].as_array().map(Vec::as_slice)
        && null == "null"
    {
        schema["type"] = named.clone();
    }
    if let Some([meant, null]) = schema["oneOf"].as_array().map(Vec::as_slice)
        && null["type"] == "null"
    {
        *schema = meant.clone();
    }
}

/// Numbers, texts and lists stand where they are used; a record has a name of its own.
fn is_named(schema: &Value) -> bool {
    let is_plain =
        matches!(schema["type"].as_str(), Some("string" | "integer" | "number" | "boolean" | "array"));
    let is_map = schema["type"] == "object" && schema.get("properties").is_none();
    let is_anything = schema.as_object().is_none_or(|members| members.is_empty());
    !(is_anything || is_map || is_plain && schema.get("enum").is_none())
}

fn problem(when: &str) -> Value {
    json!({
        "description": when,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    })
}

/// The `{names}` in a path; a wildcard's star is not part of its name.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*'))
}

/// A name that no other route has, made of method and path.
fn operation_id(method: &Method, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    format!("{}_{}", method.as_str().to_ascii_lowercase(), words.join("_"))
}

#[cfg(test)]
mod tests {
    use clinical::role::{Action, Resource};
    use serde::Serialize;

    use super::*;

    #[derive(Serialize, ToSchema)]
    struct Inner {
        number: i64,
    }

    #[derive(Serialize, ToSchema)]
    struct Outer {
        inner: Inner,
        text: Option<String>,
    }

    #[test]
    fn a_route_tells_its_rule_its_parameters_and_its_schemas() {
        let rule = Rule::may(Action::Read, Resource::Patient).own_by_path("patientId");
        let operation = get("/api/v1/patients/{patientId}", rule).says("One.").answers::<Outer>(200, "it");
        let document = operation.document("patients");
        assert_eq!(document["x-permission"]["resource"], "patient");
        assert_eq!(document["x-permission"]["ownRecord"]["path"], "patientId");
        assert_eq!(document["parameters"][0]["name"], "patientId");
        let schema = &document["responses"]["200"]["content"]["application/json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/Outer");
        assert_eq!(operation.schemas.keys().collect::<Vec<_>>(), ["Inner", "Outer"]);
        assert!(document["responses"]["401"].is_object());
    }

    #[test]
    fn a_parameter_that_nobody_reads_is_named() {
        let rule = Rule::may(Action::List, Resource::Patient);
        let operation = get("/patients", rule).paged::<Outer>("them").query_value("birthDate", json!({}));
        let refused = |query: &str| {
            let read = operation.reads_all_of(&format!("/patients?{query}").parse().unwrap());
            read.err().map(|it| (it.status().as_u16(), it.code(), it.detail().to_owned()))
        };
        for fine in ["", "limit=5&cursor=x", "birth%44ate=2000-01-01", "&&"] {
            assert_eq!(refused(fine), None, "{fine}");
        }
        let (status, code, detail) = refused("limit=5&clinicId=1").unwrap();
        assert_eq!((status, code), (400, "unknown-parameter"));
        assert!(detail.contains("parameter clinicId, only limit, cursor, birthDate;"), "{detail}");
        assert!(refused("birthdate=2000-01-01").is_some(), "names tell small letters from capitals");
    }

    #[test]
    fn a_public_route_says_so_and_asks_for_no_token() {
        let document = get("/health", Rule::PUBLIC).answers_nothing(204, "well").document("service");
        assert_eq!(document["x-public"], true);
        assert!(document.get("security").is_none());
        assert!(document["responses"].get("401").is_none());
    }
}
