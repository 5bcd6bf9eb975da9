//! The limits of a relay, as options.

use libchan_iris::RelayLimits;

use crate::iris::units::size;

#[derive(clap::Args)]
#[command(next_help_heading = "Limits (what goes beyond them is refused, or lost and counted)")]
pub(super) struct LimitArgs {
    /// Requests of one application that are under way.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..=4096))]
    max_requests: u64,
    /// Bytes of the requests of one application that wait for a member.
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    max_waiting: usize,
    /// Bytes of all requests that wait in one cluster.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    max_cluster: usize,
    /// Bytes of requests that one member has in hand.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    max_member: usize,
    /// Bytes of replies that wait for one application.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    max_replies: usize,
    /// Bytes of events and broadcasts that wait for one application.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    max_events: usize,
    /// Bytes of the name of a cluster or topic.
    #[arg(long, value_name = "SIZE", default_value = "1K", value_parser = size)]
    max_name: usize,
    /// Subscriptions and registrations of one application.
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    max_attachments: u32,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> RelayLimits {
        let mut limits = RelayLimits::new();
        limits.requests = self.max_requests as usize;
        limits.waiting_bytes = self.max_waiting;
        limits.cluster_bytes = self.max_cluster;
        limits.member_bytes = self.max_member;
        limits.reply_bytes = self.max_replies;
        limits.event_bytes = self.max_events;
        limits.name = self.max_name;
        limits.attachments = self.max_attachments as usize;
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Alone {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let alone = <Alone as clap::Parser>::parse_from(["alone"]);
        assert_eq!(alone.limits.limits(), RelayLimits::default());
    }
}
