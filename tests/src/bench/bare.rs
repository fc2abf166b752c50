//! A client of a vendor that does nothing but read.

use reqwest::{
    Client,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};

use super::{
    arrivals::{Answered, Arrivals},
    vendor::{KEY, Order, Protocol},
};

/// A client with connections that stay open.
#[derive(Clone, Debug)]
pub(super) struct Bare {
    client: Client,
    url: String,
}

impl Bare {
    /// A client of the vendor at this URL.
    pub(super) fn of(url: &str) -> Self {
        // Clients want one even where nothing is encrypted; that there is one already is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        Self { client: Client::builder().no_proxy().build().unwrap(), url: url.to_owned() }
    }

    /// Asks for an answer, and reads it to its end.
    pub(super) async fn ask(&self, protocol: Protocol, order: Order) -> Answered {
        let (path, body) = request(protocol, &order.to_string());
        let body = body.to_string();
        let mut arrivals = Arrivals::from_now();
        let request =
            self.client.post(format!("{}{path}", self.url)).header(CONTENT_TYPE, "application/json");
        let request = match protocol {
            Protocol::Responses | Protocol::Chat => request.header(AUTHORIZATION, format!("Bearer {KEY}")),
            Protocol::Generate => request.header("x-goog-api-key", KEY),
        };
        let mut response = request.body(body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{response:?}");
        while let Some(bytes) = response.chunk().await.unwrap() {
            arrivals.push(&bytes);
        }
        arrivals.answered(order.n_tokens)
    }
}

/// Where and how a prompt is sent.
fn request(protocol: Protocol, prompt: &str) -> (&'static str, Value) {
    let messages = json!([{"role": "user", "content": prompt}]);
    match protocol {
        Protocol::Responses => {
            ("/v1/responses", json!({"model": "scripted", "input": messages, "stream": true}))
        }
        Protocol::Chat => {
            ("/v1/chat/completions", json!({"model": "scripted", "messages": messages, "stream": true}))
        }
        Protocol::Generate => (
            "/v1beta/models/scripted:streamGenerateContent?alt=sse",
            json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]}),
        ),
    }
}
