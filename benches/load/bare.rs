//! The web framework with nothing around it: what any answer costs at least on this machine.

use axum::Router;
use axum::extract::Path;
use axum::routing::get;

#[tokio::main]
async fn main() {
    // `cargo bench` runs every program that it has built; this one serves only when it is told where.
    let Some(address) = std::env::args().nth(1).filter(|argument| argument.contains(':')) else { return };
    let listener = tokio::net::TcpListener::bind(&address).await.expect("the address is free");
    let read = async |Path(id): Path<String>| axum::Json(serde_json::json!({ "id": id, "name": "Test^Ada" }));
    axum::serve(listener, Router::new().route("/patients/{id}", get(read))).await.expect("it serves");
}
