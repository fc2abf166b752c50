//! What the server and its runtime do, in figures, as Prometheus reads them. Nothing is told of a single worker.

use std::{fmt, sync::Arc};

use musher_core::{Figure, FigureKind, FigureUnit, FigureValue};
use musher_protocol::ErrorCode;
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

/// The format of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PREFIX: &str = "musher";

/// What is counted of requests and streams.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    refusals: Family<Refused, Counter>,
    subscribers: Family<Subscribed, Gauge>,
    cut: Counter,
}

/// The table of routes and the codes of HTTP bound how many of these there are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Subscribed {
    transport: &'static str,
}

/// A stream that is counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct Subscriber(Gauge);

/// How a stream reaches its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Sse,
    Socket,
    ManySocket,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix(PREFIX);
        let (requests, refusals) = (Family::default(), Family::default());
        let (subscribers, cut) = (Family::default(), Counter::default());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("http_requests", "Requests that were answered", requests.clone());
        let help = "Requests that were refused for who asked, or from where";
        registry.register("auth_failures", help, refusals.clone());
        registry.register("subscribers", "Streams that are open", subscribers.clone());
        let help = "Connections that were cut because their peer took nothing";
        registry.register("subscriber_lag_disconnects", help, cut.clone());
        registry.register("build", "The program", build);
        Arc::new(Self { registry, requests, refusals, subscribers, cut })
    }

    /// A request was answered; the route is the pattern that its path has in the table.
    pub(crate) fn answered(&self, route: Option<&str>, method: &http::Method, status: http::StatusCode) {
        // A client's own method would be a label of its own.
        let method = match *method {
            http::Method::GET => "GET",
            http::Method::HEAD => "HEAD",
            http::Method::POST => "POST",
            http::Method::DELETE => "DELETE",
            _ => "other",
        };
        let route = route.unwrap_or("none").to_owned();
        self.requests.get_or_create(&Answered { route, method, status: status.as_u16() }).inc();
    }

    /// A request was refused with this code.
    pub(crate) fn refused(&self, code: ErrorCode) {
        let reason = match code.status() {
            401 => "unauthorized",
            403 => "forbidden",
            421 => "misdirected_host",
            // Refused for what it asks, not for who asks.
            _ => return,
        };
        self.refusals.get_or_create(&Refused { reason }).inc();
    }

    pub(crate) fn subscriber(&self, transport: Transport) -> Subscriber {
        let transport = match transport {
            Transport::Sse => "sse",
            Transport::Socket => "websocket",
            Transport::ManySocket => "websocket_many",
        };
        let gauge = self.subscribers.get_or_create_owned(&Subscribed { transport });
        gauge.inc();
        Subscriber(gauge)
    }

    /// A connection was cut because its peer took nothing.
    pub(crate) fn cut(&self) {
        self.cut.inc();
    }

    /// All of it as text, with what the runtime has counted.
    pub(crate) fn text(&self, runtime: Vec<Figure>) -> String {
        let mut counted = Registry::with_prefix(PREFIX);
        counted.register_collector(Box::new(Counted(runtime)));
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &counted))
            .and_then(|()| encode_eof(&mut text))
            .expect("a string takes every write");
        text
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What a runtime has counted.
#[derive(Debug)]
struct Counted(Vec<Figure>);

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Figure { name, help, unit, kind, values } in &self.0 {
            let unit = unit.map(|unit| match unit {
                FigureUnit::Seconds => Unit::Seconds,
                FigureUnit::Bytes => Unit::Bytes,
                FigureUnit::Dollars => Unit::Other("usd".to_owned()),
            });
            let metric_type = match kind {
                FigureKind::Counter => MetricType::Counter,
                FigureKind::Gauge => MetricType::Gauge,
                FigureKind::Histogram => MetricType::Histogram,
            };
            // With the point that the other texts get from their registry.
            let help = format!("{help}.");
            let mut descriptor = encoder.encode_descriptor(name, &help, unit.as_ref(), metric_type)?;
            for (labels, value) in values {
                encode_value(descriptor.encode_family(labels)?, *kind, value)?;
            }
        }
        Ok(())
    }
}

fn encode_value(
    mut encoder: MetricEncoder<'_>,
    kind: FigureKind,
    value: &FigureValue,
) -> Result<(), fmt::Error> {
    match (value, kind) {
        (FigureValue::Histogram(seen), _) => {
            encoder.encode_histogram::<NoLabelSet>(seen.sum, seen.count(), &seen.buckets, None)
        }
        (FigureValue::Number(number), FigureKind::Counter) => {
            encoder.encode_counter::<NoLabelSet, f64, f64>(number, None)
        }
        (FigureValue::Number(number), FigureKind::Gauge | FigureKind::Histogram) => {
            encoder.encode_gauge(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use musher_core::{FigureLabels, Histogram};

    use super::*;

    #[test]
    fn figures_are_text_that_prometheus_reads() {
        let labels = |text: &str| -> FigureLabels { vec![("backend", text.to_owned())] };
        let figure = |name, unit, kind, values| Figure { name, help: "What it is", unit, kind, values };
        let seen = Histogram { sum: 1.5, buckets: vec![(0.5, 1), (1.0, 2), (f64::INFINITY, 1)] };
        let text = Metrics::new().text(vec![
            figure("workers", None, FigureKind::Gauge, vec![(labels("a\"b\n"), FigureValue::Number(3.0))]),
            figure(
                "cost",
                Some(FigureUnit::Dollars),
                FigureKind::Counter,
                vec![(Vec::new(), FigureValue::Number(0.25))],
            ),
            figure(
                "turn_duration",
                Some(FigureUnit::Seconds),
                FigureKind::Histogram,
                vec![(labels("a"), FigureValue::Histogram(seen))],
            ),
        ]);
        let expected = r#"
# HELP musher_workers What it is.
# TYPE musher_workers gauge
musher_workers{backend="a\"b\n"} 3.0
# HELP musher_cost_usd What it is.
# TYPE musher_cost_usd counter
# UNIT musher_cost_usd usd
musher_cost_usd_total 0.25
# HELP musher_turn_duration_seconds What it is.
# TYPE musher_turn_duration_seconds histogram
# UNIT musher_turn_duration_seconds seconds
musher_turn_duration_seconds_sum{backend="a"} 1.5
musher_turn_duration_seconds_count{backend="a"} 4
musher_turn_duration_seconds_bucket{le="0.5",backend="a"} 1
musher_turn_duration_seconds_bucket{le="1.0",backend="a"} 3
musher_turn_duration_seconds_bucket{le="+Inf",backend="a"} 4
# EOF
"#;
        let (_, runtime) = text.split_once("\nmusher_build_info{").expect("the program");
        let (_, runtime) = runtime.split_once('\n').expect("a line");
        assert_eq!(format!("\n{runtime}"), expected);
    }

    #[test]
    fn requests_refusals_and_streams_are_counted() {
        let metrics = Metrics::new();
        let (route, get) = (Some("/v1/workers/{worker_id}"), http::Method::GET);
        metrics.answered(route, &get, http::StatusCode::OK);
        metrics.answered(route, &get, http::StatusCode::OK);
        metrics.answered(None, &http::Method::from_bytes(b"SPY").unwrap(), http::StatusCode::NOT_FOUND);
        metrics.refused(ErrorCode::Unauthorized);
        metrics.refused(ErrorCode::WorkerNotFound);
        metrics.cut();
        let open = metrics.subscriber(Transport::Sse);
        drop((metrics.subscriber(Transport::Sse), metrics.subscriber(Transport::Socket)));
        let text = metrics.text(Vec::new());
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        lines.retain(|line| !line.contains("build"));
        lines.sort_unstable();
        let expected = [
            r#"musher_auth_failures_total{reason="unauthorized"} 1"#,
            r#"musher_http_requests_total{route="/v1/workers/{worker_id}",method="GET",status="200"} 2"#,
            r#"musher_http_requests_total{route="none",method="other",status="404"} 1"#,
            "musher_subscriber_lag_disconnects_total 1",
            r#"musher_subscribers{transport="sse"} 1"#,
            r#"musher_subscribers{transport="websocket"} 0"#,
        ];
        assert_eq!(lines, expected);
        drop(open);
    }
}
