//! The live side of the status page: a libchan session on which a viewer opens `status` and gets a snapshot a second.

use std::sync::Arc;
use std::time::Duration;

use libchan::{Sender, Session};
use libchan_transports::Listener;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::snapshot::{Camera, Snapshot};

/// The channel.
pub(in crate::iris) const STATUS: &str = "status";
/// Viewers at the same time.
const VIEWERS: usize = 64;
/// Channels of one viewer at the same time.
const CHANNELS: usize = 4;
/// How often a viewer hears.
const EVERY: Duration = Duration::from_secs(1);

/// What a viewer sends on the channel, once.
#[derive(Serialize, Deserialize)]
pub(in crate::iris) struct Watch {
    pub(in crate::iris) updates: Sender<Snapshot>,
}

/// Serves viewers until it is dropped.
pub(super) async fn serve(listener: Listener, camera: Camera) {
    let places = Arc::new(Semaphore::new(VIEWERS));
    let mut viewers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(session) => match places.clone().try_acquire_owned() {
                    Ok(place) => {
                        let camera = camera.clone();
                        viewers.spawn(async move {
                            watch(session, camera).await;
                            drop(place);
                        });
                    }
                    Err(_) => tracing::info!("{VIEWERS} look at the status page already, which is the most"),
                },
                // It is listened on as long as the page is served.
                Err(error) => tracing::info!(%error, "a viewer of the status page did not attach"),
            },
            Some(_gone) = viewers.join_next() => {}
        }
    }
}

async fn watch(session: Session, camera: Camera) {
    let mut channels = JoinSet::new();
    loop {
        tokio::select! {
            incoming = session.accept() => match incoming {
                Ok(Some(incoming)) if incoming.name() != STATUS => {
                    incoming.refuse("only \"status\" is here");
                }
                Ok(Some(incoming)) if channels.len() >= CHANNELS => {
                    incoming.refuse("too many channels");
                }
                Ok(Some(incoming)) => {
                    let asked = incoming.receive::<Watch>();
                    let camera = camera.clone();
                    channels.spawn(async move {
                        if let Ok(Some(Watch { updates })) = asked.recv().await {
                            tell(&updates, &camera).await;
                        }
                    });
                }
                Ok(None) | Err(_) => return,
            },
            Some(_ended) = channels.join_next() => {}
        }
    }
}

/// A snapshot a second, fewer if the viewer does not read, until it goes.
async fn tell(updates: &Sender<Snapshot>, camera: &Camera) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let snapshot = Snapshot::clone(&camera.look());
        if updates.send(snapshot).await.is_err() {
            return;
        }
    }
}
