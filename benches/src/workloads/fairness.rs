//! 64 pingpong channels with and without a bulk channel of 1 MiB messages beside them: how long the slowest of a
//! hundred round trips takes.

use crate::case::{Case, Plan, Sample, case};
use crate::contenders::libchan::{Beside, Trips, fairness};
use crate::net::Transport;

pub fn cases(on: Transport, plan: Plan) -> Vec<Case> {
    let calls = plan.size(32_000, 3_200);
    let beside = |name: &str, beside: Beside| {
        case!("fairness", name, calls, |calls| async move { percentiles(&fairness(on, beside, calls).await) })
            .facts(3)
    };
    vec![
        beside("libchan alone", Beside::Nothing),
        beside("libchan beside bulk", Beside::Bulk),
        beside("libchan, bulk on its own connection", Beside::BulkElsewhere),
    ]
}

fn percentiles(Trips { elapsed, cpu }: &Trips) -> Sample {
    let at = |sorted: &[f64], part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize];
    Sample::of(vec![
        ("p50 us", at(elapsed, 0.5)),
        ("p99 us", at(elapsed, 0.99)),
        ("p99.9 us", at(elapsed, 0.999)),
        ("p50 cpu us", at(cpu, 0.5)),
        ("p99 cpu us", at(cpu, 0.99)),
    ])
}
