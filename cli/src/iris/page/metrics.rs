//! `/metrics`: a snapshot in the text format of Prometheus. The README of libchan-iris has a table of the names.

use std::fmt::{Display, Write};

use super::snapshot::Snapshot;

/// The metrics of a snapshot.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut out = Metrics(String::new());
    let relay = &snapshot.relay;
    out.gauge("iris_uptime_seconds", "Time since the relay was started.");
    out.value("iris_uptime_seconds", "", snapshot.uptime_ms as f64 / 1000.0);
    for (name, help, value) in [
        ("iris_clients", "Applications that are attached.", relay.clients),
        ("iris_clusters", "Clusters with a member or a waiting request.", relay.clusters),
        ("iris_members", "Members of clusters.", relay.members),
        ("iris_topics", "Topics with a subscription.", relay.topics),
        ("iris_subscriptions", "Subscriptions.", relay.subscriptions),
        ("iris_requests_under_way", "Requests that are not over.", relay.under_way),
    ] {
        out.gauge(name, help);
        out.value(name, "", value);
    }
    for (name, help, value) in [
        ("iris_requests_total", "Requests that came.", relay.requests),
        ("iris_broadcasts_total", "Broadcasts that came.", relay.broadcasts),
        ("iris_events_total", "Events that were published.", relay.published),
        ("iris_delivered_total", "Broadcasts and events that were given to a receiver.", relay.delivered),
        ("iris_dropped_total", "Broadcasts and events that a slow receiver lost.", relay.dropped),
        ("iris_refused_total", "What applications asked for without a right to it.", relay.refused),
    ] {
        out.counter(name, help);
        out.value(name, "", value);
    }
    out.counter("iris_requests_ended_total", "Requests that are over, by how they ended.");
    for (outcome, value) in [
        ("answered", relay.answered),
        ("fault", relay.faults),
        ("timeout", relay.timeouts),
        ("no_member", relay.no_member),
        ("busy", relay.busy),
        ("lost", relay.lost),
        ("cancelled", relay.cancelled),
    ] {
        out.value("iris_requests_ended_total", &label("outcome", outcome), value);
    }
    clusters(&mut out, snapshot);
    topics(&mut out, snapshot);
    out.gauge("iris_unlisted", "Clusters and topics that have no line here, because there are too many.");
    out.value("iris_unlisted", &label("kind", "cluster"), snapshot.more_clusters);
    out.value("iris_unlisted", &label("kind", "topic"), snapshot.more_topics);
    out.0
}

fn clusters(out: &mut Metrics, snapshot: &Snapshot) {
    type Field = fn(&libchan_iris::ClusterStatus) -> usize;
    let fields: [(&str, &str, Field); 5] = [
        ("iris_cluster_members", "Members of the cluster.", |cluster| cluster.members),
        ("iris_cluster_slots", "Requests that they take at the same time.", |cluster| cluster.slots),
        ("iris_cluster_in_hand", "Requests that they have in hand.", |cluster| cluster.in_hand),
        ("iris_cluster_waiting", "Requests that wait for a member.", |cluster| cluster.waiting),
        ("iris_cluster_waiting_bytes", "Bytes of these.", |cluster| cluster.waiting_bytes),
    ];
    for (name, help, field) in fields {
        out.gauge(name, help);
        for cluster in &snapshot.clusters {
            out.value(name, &label("cluster", &cluster.name), field(cluster));
        }
    }
}

fn topics(out: &mut Metrics, snapshot: &Snapshot) {
    out.gauge("iris_topic_subscriptions", "Subscriptions of the topic.");
    for topic in &snapshot.topics {
        out.value("iris_topic_subscriptions", &label("topic", &topic.name), topic.subscriptions);
    }
    out.counter("iris_topic_events_total", "Events since the topic has had a subscription.");
    for topic in &snapshot.topics {
        out.value("iris_topic_events_total", &label("topic", &topic.name), topic.events);
    }
    out.counter("iris_topic_bytes_total", "Bytes of these.");
    for topic in &snapshot.topics {
        out.value("iris_topic_bytes_total", &label("topic", &topic.name), topic.bytes);
    }
}

struct Metrics(String);

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} gauge"));
    }

    fn counter(&mut self, name: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} counter"));
    }

    fn value(&mut self, name: &str, label: &str, value: impl Display) {
        self.line(format_args!("{name}{label} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A String takes whatever is written.
        let _ = writeln!(self.0, "{line}");
    }
}

/// A label. Applications choose the value: it must not end the label or the line.
fn label(name: &str, value: &str) -> String {
    let mut label = format!("{{{name}=\"");
    for c in value.chars() {
        match c {
            '\\' => label.push_str("\\\\"),
            '"' => label.push_str("\\\""),
            '\n' => label.push_str("\\n"),
            c => label.push(c),
        }
    }
    label.push_str("\"}");
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_be_left() {
        assert_eq!(label("cluster", "a\"} 1\n\\b"), r#"{cluster="a\"} 1\n\\b"}"#);
    }
}
