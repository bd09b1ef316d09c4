//! A service with a socket, and a client to it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use clinical::id::{ClinicId, UserId};
use clinical::role::Role;
use futures::{SinkExt, StreamExt};
use gate::socket::{Kinds, SocketLimits, Sockets};
use gate::testing::token_of;
use gate::{App, HttpLimits, layers};
use serde_json::{Value, json};
use storage::db::{Db, sql};
use storage::live::{self, Listing, NewMessage, To, relay};
use storage::records::member::Position;
use storage::testing::now;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Service {
    pub app: App,
    pub router: Router,
    pub sockets: Sockets,
    pub address: SocketAddr,
    stopping: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl Service {
    pub async fn over(db: &Db, limits: SocketLimits, kinds: Kinds) -> Self {
        let (app, folder) = gate::testing::app(db, HttpLimits::default(), now());
        let sockets = Sockets::new(app.clone(), limits, kinds);
        let router = layers(gate::socket::routes(sockets.clone()), app.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopping, stop) = watch::channel(false);
        let stopped = async |mut stop: watch::Receiver<bool>| {
            let _ = stop.wait_for(|is_over| *is_over).await;
        };
        let (bringer, stop_bringing) = (sockets.clone(), stop.clone());
        tokio::spawn(async move { bringer.run(stopped(stop_bringing)).await });
        let (served, stop_serving) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            gate::serve(listener, served, HttpLimits::default(), stopped(stop_serving)).await;
        });
        let relayed = db.clone();
        tokio::spawn(async move {
            while !*stop.borrow() {
                let _ = relay::place_all(&relayed).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let service = Self { app, router, sockets, address, stopping, _folder: folder };
        // Nobody is let in before the first look.
        while Client::try_connect(&service, "/ws", None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        service
    }

    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A new person and their token.
pub async fn person(app: &App, role: Role) -> (UserId, String) {
    let token = token_of(app, ClinicId::DEFAULT, &Position::of(role)).await;
    let newest = sql("SELECT user_id FROM users ORDER BY user_id DESC LIMIT 1");
    let user: uuid::Uuid = newest.fetch_one(&mut app.db.read().await.unwrap()).await.unwrap();
    (UserId(user), token)
}

pub async fn tell(db: &Db, people: &[UserId], number: i64) {
    let body = json!({ "n": number });
    let new = NewMessage { kind: "notification", body: &body, listing: Listing::Listed, dedupe_key: None };
    let mut tx = db.begin().await.unwrap();
    live::say(&mut tx, ClinicId::DEFAULT, To::People(people), &new, now()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Close {
    With(u16),
    Cut,
}

pub struct Client {
    pub stream: WebSocketStream<TcpStream>,
}

impl Client {
    pub async fn try_connect(service: &Service, path: &str, token: Option<&str>) -> Result<Self, Box<Error>> {
        let stream = TcpStream::connect(service.address).await.map_err(|error| Box::new(Error::Io(error)))?;
        let mut request = format!("ws://{}{path}", service.address).into_client_request()?;
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let (stream, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self { stream })
    }

    pub async fn connect(service: &Service, path: &str, token: Option<&str>) -> Self {
        Self::try_connect(service, path, token).await.unwrap()
    }

    /// The status with which a token is refused.
    pub async fn refused(service: &Service, path: &str, token: &str) -> u16 {
        match Self::try_connect(service, path, Some(token)).await.err().map(|error| *error) {
            Some(Error::Http(answer)) => answer.status().as_u16(),
            other => panic!("{other:?}"),
        }
    }

    /// A client that is in.
    pub async fn entered(service: &Service, token: &str) -> Self {
        let mut client = Self::connect(service, "/ws", None).await;
        client.say(json!({"type": "authenticate", "token": token})).await;
        assert_eq!(client.next().await["type"], "authenticated");
        client
    }

    /// A client that comes back; whether it is in, and behind what.
    pub async fn resumed(service: &Service, token: &str, last_event: &str) -> Self {
        let mut client = Self::connect(service, "/ws", None).await;
        client.say(json!({"type": "authenticate", "token": token, "lastEventId": last_event})).await;
        let greeted = client.next().await;
        assert_eq!(
            (&greeted["type"], &greeted["data"]["lastEventId"]),
            (&json!("authenticated"), &json!(last_event))
        );
        client
    }

    pub async fn say(&mut self, message: Value) {
        self.stream.send(Message::Text(message.to_string().into())).await.unwrap();
    }

    /// The next message, whatever the protocol says meanwhile; `None` where the connection is over.
    pub async fn try_next(&mut self) -> Option<Value> {
        loop {
            let read = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("something comes");
            match read? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next message of a connection that lives, but for who comes and goes.
    pub async fn next(&mut self) -> Value {
        loop {
            let message = self.next_of_all().await;
            let kind = message["type"].as_str().unwrap();
            if !["user_online", "user_offline", "presence_changed"].contains(&kind) {
                return message;
            }
        }
    }

    /// The next message of a connection that lives.
    pub async fn next_of_all(&mut self) -> Value {
        self.try_next().await.expect("the connection lives")
    }

    /// The numbers of the next so many notifications.
    pub async fn numbers(&mut self, count: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let message = self.next().await;
            if message["type"] == "notification" {
                numbers.push(message["data"]["n"].as_i64().unwrap());
            }
        }
        numbers
    }

    /// How it ends, whatever is said before.
    pub async fn close(&mut self) -> Close {
        loop {
            let read = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("it ends");
            match read {
                Some(Ok(Message::Close(Some(frame)))) => return Close::With(frame.code.into()),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Close::Cut,
                Some(Ok(_)) => {}
            }
        }
    }
}
