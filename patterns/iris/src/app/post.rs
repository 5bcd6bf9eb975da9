//! Broadcast and publish: told to many, at most once each, in the order of their sender.

use serde::Serialize;

use super::Connection;
use crate::body::Body;
use crate::error::Error;
use crate::wire::Post;

impl Connection {
    /// Tells every member of the cluster. Completes when the relay has room for it, not when members have it; a member that
    /// has no room loses it, and counts the loss. A redialing connection waits for a relay; what it had taken when it was lost may
    /// be lost with it.
    ///
    /// # Cancel safety
    /// Dropped before it completes, nothing is told.
    ///
    /// # Errors
    /// [`Error::Local`]: the value does not encode, or holds channel ends, streams or descriptors, which cannot go to many.
    /// [`Error::Closed`]: the connection is over.
    pub async fn broadcast<T: Serialize + ?Sized>(&self, cluster: &str, value: &T) -> Result<(), Error> {
        self.broadcast_raw(cluster, Body::of(value)?).await
    }

    /// Tells every member of the cluster a body as it is.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub async fn broadcast_raw(&self, cluster: &str, body: Body) -> Result<(), Error> {
        self.post(Post::Broadcast(cluster.to_owned(), for_many(body)?)).await
    }

    /// Tells every subscription of the topic. Completes when the relay has room for it; a subscription that reads too slowly
    /// loses it, and counts the loss.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub async fn publish<T: Serialize + ?Sized>(&self, topic: &str, value: &T) -> Result<(), Error> {
        self.publish_raw(topic, Body::of(value)?).await
    }

    /// Tells every subscription of the topic a body as it is.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub async fn publish_raw(&self, topic: &str, body: Body) -> Result<(), Error> {
        self.post(Post::Publish(topic.to_owned(), for_many(body)?)).await
    }

    async fn post(&self, post: Post) -> Result<(), Error> {
        self.app.send(post, |attachment| &attachment.posts).await
    }
}

fn for_many(body: Body) -> Result<Body, Error> {
    match body.ends() {
        0 => Ok(body),
        count => Err(Error::Local(format!(
            "the value holds {count} channel ends, streams or descriptors: each has one other end, so it cannot go to many; \
             send them by a request"
        ))),
    }
}
