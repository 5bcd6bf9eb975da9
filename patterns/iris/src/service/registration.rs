//! A member's registration at one relay: the channels by which it gets requests, broadcasts and tunnels.

use libchan::{Receiver, Sender, pipe_with};

use crate::app::{App, Attachment};
use crate::error::Error;
use crate::limits::Limits;
use crate::wire::{Call, Event, Line, Register, Report};

pub(super) struct Registration {
    /// The number of the attachment that it was made at.
    pub(super) at: u64,
    pub(super) calls: Receiver<Call>,
    pub(super) reports: Sender<Report>,
    pub(super) broadcasts: Receiver<Event>,
    pub(super) tunnels: Receiver<Line>,
}

impl Registration {
    /// Registers at an attachment whose number is above `passed`: waits for one where the connection comes back.
    ///
    /// # Errors
    /// [`Error::Refused`]: the relay does not allow it. [`Error::Closed`]: there is no relay any more.
    pub(super) async fn new(
        app: &App,
        cluster: &str,
        limits: Limits,
        mut passed: u64,
    ) -> Result<Self, Error> {
        loop {
            let attachment = app.attachment(passed).await?;
            passed = attachment.number;
            match Self::on(&attachment, cluster, limits).await {
                Err(Error::Closed | Error::Lost) => {}
                registered => return registered,
            }
        }
    }

    async fn on(attachment: &Attachment, cluster: &str, limits: Limits) -> Result<Self, Error> {
        let slots = limits.requests.max(1);
        // Twice what is in hand: the sender of a channel hears late of what was taken.
        let (calls_in, calls) = pipe_with(2 * slots + 2);
        let (reports, reports_out) = pipe_with(2 * slots + 2);
        let (broadcasts_in, broadcasts) = pipe_with(limits.broadcasts.max(1));
        let (tunnels_in, tunnels) = pipe_with(limits.tunnels.max(1));
        let (ready, answer) = pipe_with(1);
        let register = Register {
            cluster: cluster.to_owned(),
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
            bytes: limits.request_bytes as u64,
            broadcast_bytes: limits.broadcast_bytes as u64,
            calls: calls_in,
            reports: reports_out,
            broadcasts: broadcasts_in,
            tunnels: tunnels_in,
            ready,
        };
        attachment.send(&attachment.register, register).await.map_err(|failed| failed.error)?;
        match answer.recv().await {
            Ok(Some(Ok(()))) => Ok(Self { at: attachment.number, calls, reports, broadcasts, tunnels }),
            Ok(Some(Err(text))) => Err(Error::Refused(text)),
            Ok(None) | Err(_) => Err(Error::Closed),
        }
    }
}
