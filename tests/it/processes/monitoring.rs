//! What Prometheus sees of processes: zeros before anything happened, neighbours that are away, and nothing old.

use std::net::ToSocketAddrs;

use crate::processes::{Process, System, wait_until};
use crate::support::amqp::host_and_template;
use crate::support::proxy::{Mode, Proxy};

async fn metrics(process: &Process) -> String {
    reqwest::get(format!("http://127.0.0.1:{}/metrics", process.monitor)).await.unwrap().text().await.unwrap()
}

async fn shows(process: &Process, line: &str) {
    wait_until(line, || async { metrics(process).await.lines().any(|shown| shown == line) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_is_away_is_told_and_nothing_old() {
    let system = System::distributed().await;
    let url = system.database_url();
    let (login, place) = url.rsplit_once('@').unwrap();
    let (server, name) = place.split_once('/').unwrap();
    let database = Proxy::start(server.to_socket_addrs().unwrap().next().unwrap()).await;
    let (host, template) = host_and_template().await;
    let broker = Proxy::start(host).await;
    let url = format!("{login}@{}/{name}", database.address());
    let amqp = template.replace("{}", &broker.address().to_string());
    let worker = system.start_with(&["worker"], &[("HPTS_DATABASE_URL", &url), ("HPTS_AMQP_URL", &amqp)]).await;
    for line in ["hpts_database_up 1", "hpts_broker_up 1", "hpts_unposted_events 0", "hpts_dead_letters 0"] {
        shows(&worker, line).await;
    }
    shows(&worker, "hpts_partition_ready{partition=\"3\"} 0").await;
    for line in [
        "hpts_sweeper_republished_total 0",
        "hpts_webhook_deliveries_total{outcome=\"failed\"} 0",
        "hpts_webhook_deliveries_total{outcome=\"delivered\"} 0",
        "hpts_amqp_bad_message_total{reason=\"unknown_event\"} 0",
    ] {
        shows(&worker, line).await;
    }

    broker.set(Mode::Refuse);
    broker.cut();
    for line in ["hpts_broker_up 0", "hpts_dead_letters NaN", "hpts_partition_ready{partition=\"3\"} NaN"] {
        shows(&worker, line).await;
    }
    broker.set(Mode::Forward);
    database.set(Mode::Refuse);
    database.cut();
    for line in ["hpts_database_up 0", "hpts_unposted_events NaN", "hpts_oldest_unposted_age_seconds NaN"] {
        shows(&worker, line).await;
    }
    database.set(Mode::Forward);
    for line in ["hpts_database_up 1", "hpts_broker_up 1", "hpts_unposted_events 0", "hpts_dead_letters 0"] {
        shows(&worker, line).await;
    }
}

#[tokio::test]
async fn failures_of_every_address_begin_at_zero() {
    let system = System::embedded();
    let server = system.start(&["serve", "--demo"]).await;
    let text = metrics(&server).await;
    for (route, status) in [("/v1/payments", 503), ("/v1/loans/{loan_id}/balance", 500), ("unmatched", 503)] {
        let line = format!("hpts_http_requests_total{{route=\"{route}\",status=\"{status}\"}} 0");
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
}
