//! Members that speak libchan: calls, cancels, broadcasts and tunnels go to them, reports come back.

use std::sync::Arc;
use std::time::Duration;

use libchan::Sender;
use tokio::task::JoinSet;

use super::feed::Feed;
use super::{Application, next};
use crate::app::lock;
use crate::body::Body;
use crate::core::{CallId, MemberId, Reply, Room};
use crate::relay::Hub;
use crate::relay::port::{Gone, Member};
use crate::relay::rights::Act;
use crate::wire::{Call, Line, Register, Report};

struct NativeMember {
    calls: Sender<Call>,
    broadcasts: Arc<Feed>,
    tunnels: Sender<Line>,
}

impl Member for NativeMember {
    fn call(&self, call: CallId, body: Body, left: Duration) -> Result<(), Gone> {
        let left = u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        self.calls.try_send(Call::Request(call.0, left, body)).map_err(|_| Gone)
    }

    fn cancel(&self, call: CallId) -> bool {
        // No room: the handler runs on until its deadline. It says when it is over.
        drop(self.calls.try_send(Call::Cancel(call.0)));
        false
    }

    fn broadcast(&self, body: Body) -> bool {
        self.broadcasts.give(body)
    }

    fn tunnel(&self, line: Line) -> Result<(), Box<Line>> {
        self.tunnels.try_send(line).map_err(|failed| Box::new(failed.into_value()))
    }
}

/// Ends a membership however its task ends.
struct Membership {
    hub: Arc<Hub>,
    id: MemberId,
}

impl Drop for Membership {
    fn drop(&mut self) {
        lock(&self.hub.ports).members.remove(&self.id);
        self.hub.tell(|core, now| core.leave(now, self.id));
    }
}

/// Serves a member until it is gone, or until it has left and nothing is in its hand.
pub(super) async fn serve(application: Arc<Application>, asked: Register) {
    let Register { cluster, slots, bytes, broadcast_bytes, calls, reports, broadcasts, tunnels, ready } =
        asked;
    let (hub, client) = (&application.hub, application.client);
    let member = NativeMember {
        calls,
        broadcasts: Feed::new(broadcasts, broadcast_bytes, &application.backlog),
        tunnels,
    };
    let membership = match join(&application, &cluster, member) {
        Ok(membership) => membership,
        Err(why) => {
            // It may have gone meanwhile.
            drop(ready.try_send(Err(why)));
            return;
        }
    };
    let id = membership.id;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(hub.limits.member_bytes);
    hub.tell(|core, now| core.set_room(now, id, Room { slots: slots as usize, bytes }));
    hub.joined.notify_waiters();
    tracing::info!(client = client.0, cluster, slots, "member registered");
    // Last: from here on whatever is sent to the cluster finds the member. It may have gone meanwhile.
    drop(ready.try_send(Ok(())));
    let mut nothing = JoinSet::new();
    let mut leaves = false;
    // A member that leaves is let go, by the end of its calls, when nothing is in its hand and nothing on its way to it.
    while !(leaves && lock(&hub.core).in_hand(id) == 0) {
        let report = tokio::select! {
            report = next(&reports, &mut nothing) => report,
            () = hub.leaving.begins(), if !leaves => Some(Report::Slots(0)),
        };
        match report {
            Some(Report::Ok(call, body)) => hub.report(id, CallId(call), Reply::Ok(body)),
            Some(Report::Fault(call, text)) => hub.report(id, CallId(call), Reply::Fault(text)),
            Some(Report::Shed(call)) => hub.report(id, CallId(call), Reply::Shed),
            Some(Report::Expired(call)) => hub.report(id, CallId(call), Reply::Expired),
            Some(Report::Slots(slots)) => {
                leaves = slots == 0 || leaves;
                let slots = if leaves { 0 } else { slots as usize };
                hub.tell(|core, now| core.set_room(now, id, Room { slots, bytes }));
            }
            None => break,
        }
    }
    drop(membership);
    tracing::info!(client = client.0, cluster, "member left");
}

/// The member is known, and has no room yet: a call to it before it can be found would find nobody.
fn join(application: &Application, cluster: &str, member: NativeMember) -> Result<Membership, String> {
    application.may(Act::Register(cluster))?;
    let (hub, client) = (&application.hub, application.client);
    let registered = hub.tell(|core, now| core.register(now, client, cluster, Room::NONE));
    let id = registered.map_err(|refused| refused.to_string())?;
    lock(&hub.ports).members.insert(id, Arc::new(member));
    Ok(Membership { hub: hub.clone(), id })
}
