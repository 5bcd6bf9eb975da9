//! The core with a virtual clock: each rule of a request's life, and random ones against a simple account.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

impl Weight for &'static str {
    fn weight(&self) -> usize {
        self.len()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const WAITS: Terms = Terms { deadline: SECOND, wait_for_member: true };
const AT_ONCE: Terms = Terms { deadline: SECOND, wait_for_member: false };

type TestCore = Core<&'static str>;

fn core() -> TestCore {
    Core::new(RelayLimits::default(), 7)
}

/// So many slots, and bytes without end.
fn room(slots: usize) -> Room {
    Room { slots, bytes: usize::MAX }
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn actions(core: &mut TestCore) -> Vec<Action<&'static str>> {
    std::iter::from_fn(|| core.poll_action()).collect()
}

fn failed(client: ClientId, number: u64, failed: Failed) -> Action<&'static str> {
    Action::Answer { client, number, result: Err(Outcome::Failed(failed)) }
}

/// The calls of the actions, in order.
fn calls(found: &[Action<&'static str>]) -> Vec<(MemberId, CallId)> {
    let one = |action: &Action<_>| match action {
        Action::Call { member, call, .. } => Some((*member, *call)),
        _ => None,
    };
    found.iter().filter_map(one).collect()
}

#[test]
fn a_request_goes_to_a_member_and_its_answer_comes_back() {
    let mut core = core();
    let (caller, server) = (core.attach(), core.attach());
    let member = core.register(at(0), server, "adder", room(4)).unwrap();
    core.request(at(0), caller, 9, "adder", "1+1", WAITS).unwrap();
    let found = actions(&mut core);
    let [(to, call)] = calls(&found)[..] else { panic!("{found:?}") };
    assert_eq!((to, &found[0]), (member, &Action::Call { member, call, body: "1+1", left: SECOND }));
    core.answer(at(1), member, call, Reply::Ok("2"));
    assert_eq!(actions(&mut core), [Action::Answer { client: caller, number: 9, result: Ok("2") }]);
    core.answer(at(2), member, call, Reply::Ok("3"));
    assert_eq!(actions(&mut core), [], "one answer a request");
    assert_eq!(core.next_deadline(), None);
}

#[test]
fn a_request_waits_for_a_member_or_says_that_there_is_none() {
    let mut core = core();
    let (caller, server) = (core.attach(), core.attach());
    core.request(at(0), caller, 1, "adder", "a", AT_ONCE).unwrap();
    assert_eq!(actions(&mut core), [failed(caller, 1, Failed::NoMember)]);
    core.request(at(0), caller, 2, "adder", "b", WAITS).unwrap();
    assert_eq!(actions(&mut core), []);
    let member = core.register(at(400), server, "adder", room(1)).unwrap();
    let found = actions(&mut core);
    assert!(matches!(found[..], [Action::Call { body: "b", left, .. }] if left == at(600)), "{found:?}");
    // The member's one slot is taken: the next waits, and is answered when the last member leaves.
    core.request(at(400), caller, 3, "adder", "c", AT_ONCE).unwrap();
    core.leave(at(500), member);
    let found = actions(&mut core);
    assert_eq!(found, [failed(caller, 2, Failed::Lost), failed(caller, 3, Failed::NoMember)]);
    assert!(core.clusters.is_empty() && core.requests.under_way() == 0);
}

#[test]
fn deadlines_end_requests_wherever_they_are() {
    let mut core = core();
    let (caller, server) = (core.attach(), core.attach());
    let member = core.register(at(0), server, "adder", room(1)).unwrap();
    core.request(at(0), caller, 1, "adder", "held", WAITS).unwrap();
    core.request(at(5), caller, 2, "adder", "waits", WAITS).unwrap();
    core.request(at(5), caller, 3, "adder", "none", Terms { deadline: at(0), ..WAITS }).unwrap();
    let found = actions(&mut core);
    let [(_, call)] = calls(&found)[..] else { panic!("{found:?}") };
    assert_eq!(found[1], failed(caller, 3, Failed::Timeout));
    assert_eq!(core.next_deadline(), Some(SECOND));
    core.handle_time(at(1001));
    assert_eq!(actions(&mut core), [Action::Cancel { member, call }, failed(caller, 1, Failed::Timeout)]);
    core.handle_time(at(1005));
    assert_eq!(actions(&mut core), [failed(caller, 2, Failed::Timeout)]);
    // The handler still runs: its slot is not free before it is over.
    core.request(at(1010), caller, 4, "adder", "next", WAITS).unwrap();
    assert_eq!(actions(&mut core), []);
    core.answer(at(1020), member, call, Reply::Ok("late"));
    assert_eq!(calls(&actions(&mut core)).len(), 1);
}

#[test]
fn a_cancelled_request_has_no_answer_and_keeps_its_slot() {
    let mut core = core();
    let (caller, server) = (core.attach(), core.attach());
    let member = core.register(at(0), server, "adder", room(1)).unwrap();
    core.request(at(0), caller, 1, "adder", "a", WAITS).unwrap();
    core.request(at(0), caller, 2, "adder", "b", WAITS).unwrap();
    let [(_, call)] = calls(&actions(&mut core))[..] else { panic!() };
    core.cancel(at(1), caller, 1);
    core.cancel(at(1), caller, 1);
    core.cancel(at(1), caller, 2);
    assert_eq!(actions(&mut core), [Action::Cancel { member, call }]);
    assert_eq!(core.in_hand(member), 1);
    core.answer(at(2), member, call, Reply::Fault("stopped"));
    assert_eq!((actions(&mut core), core.in_hand(member)), (vec![], 0));
    assert_eq!(core.totals().cancelled, 2);
}

#[test]
fn queues_are_bounded_and_a_shed_request_is_busy() {
    let limits = RelayLimits { requests: 2, waiting_bytes: 10, ..RelayLimits::default() };
    let mut core = Core::new(limits, 1);
    let (caller, server) = (core.attach(), core.attach());
    for (number, body) in [(1, "1234"), (2, "1234567"), (3, "123456"), (4, "")] {
        core.request(at(0), caller, number, "adder", body, WAITS).unwrap();
    }
    let found = actions(&mut core);
    assert_eq!(found, [failed(caller, 2, Failed::Busy), failed(caller, 4, Failed::Busy)]);
    assert_eq!(core.request(at(0), caller, 1, "adder", "", WAITS), Err(Refused::NumberInUse));
    let member = core.register(at(0), server, "adder", room(1)).unwrap();
    let [(_, call)] = calls(&actions(&mut core))[..] else { panic!() };
    core.answer(at(0), member, call, Reply::Shed);
    assert_eq!(actions(&mut core)[0], failed(caller, 1, Failed::Busy));
}

#[test]
fn what_a_client_has_waiting_is_bounded_over_all_clusters_and_leaves_no_names_behind() {
    let limits = RelayLimits { waiting_bytes: 10, cluster_bytes: 12, ..RelayLimits::default() };
    let mut core = Core::new(limits, 1);
    let (one, other) = (core.attach(), core.attach());
    core.request(at(0), one, 1, "a", "1234567", WAITS).unwrap();
    core.request(at(0), one, 2, "b", "123", WAITS).unwrap();
    core.request(at(0), one, 3, "c", "1", WAITS).unwrap();
    core.request(at(0), other, 1, "a", "123456", WAITS).unwrap();
    assert_eq!(actions(&mut core), [failed(one, 3, Failed::Busy), failed(other, 1, Failed::Busy)]);
    assert_eq!(core.clusters.len(), 2, "a request without room makes no cluster");
    core.cancel(at(0), one, 2);
    core.request(at(0), one, 3, "c", "123", WAITS).unwrap();
    assert_eq!(actions(&mut core), []);
    core.handle_time(at(1000));
    assert_eq!(core.clients[&one].waiting_bytes, 0);
    assert!(core.clusters.is_empty());
}

#[test]
fn a_relay_that_leaves_lets_what_is_in_hand_end_and_refuses_the_rest() {
    let mut core = core();
    let (caller, server) = (core.attach(), core.attach());
    let member = core.register(at(0), server, "adder", room(1)).unwrap();
    core.request(at(0), caller, 1, "adder", "in hand", WAITS).unwrap();
    core.request(at(0), caller, 2, "adder", "waits", WAITS).unwrap();
    let [(_, call)] = calls(&actions(&mut core))[..] else { panic!() };
    core.refuse_all();
    core.request(at(0), caller, 3, "adder", "late", WAITS).unwrap();
    assert_eq!(actions(&mut core), [failed(caller, 2, Failed::Going), failed(caller, 3, Failed::Going)]);
    core.answer(at(1), member, call, Reply::Ok("done"));
    assert_eq!(actions(&mut core), [Action::Answer { client: caller, number: 1, result: Ok("done") }]);
    assert_eq!(core.requests_of(caller), 0);
}

#[test]
fn names_and_attachments_are_limited() {
    let limits = RelayLimits { name: 3, attachments: 2, ..RelayLimits::default() };
    let mut core: TestCore = Core::new(limits, 1);
    let client = core.attach();
    assert_eq!(core.subscribe(client, ""), Err(Refused::NameEmpty));
    assert_eq!(core.subscribe(client, "four"), Err(Refused::NameTooLong { limit: 3 }));
    assert_eq!(core.request(at(0), client, 1, "four", "", WAITS), Err(Refused::NameTooLong { limit: 3 }));
    core.subscribe(client, "a").unwrap();
    core.register(at(0), client, "a", room(1)).unwrap();
    assert_eq!(core.subscribe(client, "b"), Err(Refused::TooManyAttachments { limit: 2 }));
    core.detach(at(0), client);
    assert_eq!(core.subscribe(client, "b"), Err(Refused::UnknownClient));
    assert!(core.topics.is_empty() && core.clusters.is_empty(), "names go with who made them");
}

#[test]
fn published_events_go_to_each_subscription_once() {
    let mut core = core();
    let (one, other) = (core.attach(), core.attach());
    let first = core.subscribe(one, "prices").unwrap();
    let second = core.subscribe(other, "prices").unwrap();
    let third = core.subscribe(one, "prices").unwrap();
    assert_eq!(core.publish("prices", 5), [first, second, third]);
    core.unsubscribe(second);
    assert_eq!(core.publish("prices", 5), [first, third]);
    core.detach(at(0), one);
    assert_eq!(core.publish("prices", 5), []);
    let member = core.register(at(0), other, "prices", room(1)).unwrap();
    assert_eq!(core.broadcast("prices"), [member], "clusters and topics have names of their own");
}

#[test]
fn load_goes_to_free_members() {
    let mut core = core();
    let caller = core.attach();
    let server = core.attach();
    let small = core.register(at(0), server, "adder", room(10)).unwrap();
    let large = core.register(at(0), server, "adder", room(1000)).unwrap();
    for number in 0..1010 {
        core.request(at(0), caller, number, "adder", "x", WAITS).unwrap();
    }
    let found = calls(&actions(&mut core));
    assert_eq!(found.len(), 1010, "every slot is used");
    let of = |member| found.iter().filter(|(to, _)| *to == member).count();
    assert_eq!((of(small), of(large)), (10, 1000));
}

/// Random applications: every request has exactly one answer unless it was cancelled, no member has more than its slots, and
/// nothing is left in the end.
#[test]
fn whatever_happens_each_request_is_answered_once() {
    for seed in 1..60_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut pick = |count: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % count
        };
        let mut core: TestCore =
            Core::new(RelayLimits { requests: 30, waiting_bytes: 40, ..RelayLimits::default() }, seed);
        let clients: Vec<_> = (0..4).map(|_| core.attach()).collect();
        let mut slots: BTreeMap<MemberId, usize> = BTreeMap::new();
        let mut in_hand: Vec<(MemberId, CallId)> = Vec::new();
        let mut awaited: BTreeSet<(ClientId, u64)> = BTreeSet::new();
        for step in 0..2000_u64 {
            let now = at(step * 7);
            let client = clients[pick(4) as usize];
            let cluster = ["a", "b"][pick(2) as usize];
            match pick(12) {
                0..=4 => {
                    let terms = Terms { deadline: at(pick(400)), wait_for_member: pick(2) == 0 };
                    awaited.insert((client, step));
                    core.request(now, client, step, cluster, "body", terms).unwrap();
                }
                5 if slots.len() < 6 => {
                    let count = pick(4) as usize;
                    slots.insert(core.register(now, client, cluster, room(count)).unwrap(), count);
                }
                6 => {
                    if let Some(&(client, number)) = awaited.iter().next() {
                        core.cancel(now, client, number);
                        awaited.remove(&(client, number));
                    }
                }
                7 => {
                    if let Some(&member) = slots.keys().next() {
                        slots.remove(&member);
                        in_hand.retain(|(held, _)| *held != member);
                        core.leave(now, member);
                    }
                }
                8 => core.handle_time(now),
                _ if !in_hand.is_empty() => {
                    let (member, call) = in_hand.swap_remove(pick(in_hand.len() as u64) as usize);
                    core.answer(
                        now,
                        member,
                        call,
                        [Reply::Ok("r"), Reply::Fault("f"), Reply::Shed][pick(3) as usize].clone(),
                    );
                }
                _ => {}
            }
            for action in actions(&mut core) {
                match action {
                    Action::Call { member, call, .. } => {
                        in_hand.push((member, call));
                        let count = in_hand.iter().filter(|(held, _)| *held == member).count();
                        assert!(count <= slots[&member], "seed {seed}: more than its slots");
                    }
                    Action::Answer { client, number, .. } => {
                        assert!(
                            awaited.remove(&(client, number)),
                            "seed {seed}: not asked, or answered twice"
                        );
                    }
                    Action::Cancel { .. } => {}
                }
            }
        }
        core.handle_time(at(1_000_000));
        for action in actions(&mut core) {
            if let Action::Answer { client, number, .. } = action {
                assert!(awaited.remove(&(client, number)), "seed {seed}");
            }
        }
        assert!(awaited.is_empty(), "seed {seed}: without an answer: {awaited:?}");
        for client in clients {
            assert_eq!(core.clients[&client].waiting_bytes, 0, "seed {seed}");
            core.detach(at(1_000_000), client);
        }
        assert_eq!(core.requests.under_way(), 0, "seed {seed}");
        assert!(core.clusters.is_empty() && core.members.is_empty(), "seed {seed}");
    }
}
