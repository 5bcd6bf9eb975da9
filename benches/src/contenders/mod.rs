//! Everybody who takes part. A contender gives callers (request and reply) or the two ends of a stream; the
//! workloads drive them.

pub mod libchan;
pub mod local;
pub mod map;
pub mod queued;
pub mod raw;

/// Makes one request at a time and waits for its reply.
pub trait Caller: Send + 'static {
    fn call(&mut self) -> impl Future<Output = ()> + Send;
}

/// The sending end of a stream.
pub trait Feed: Send + 'static {
    fn send(&mut self) -> impl Future<Output = ()> + Send;

    /// Pushes out what is still held back.
    fn finish(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// The receiving end of a stream.
pub trait Drain: Send + 'static {
    fn recv(&mut self) -> impl Future<Output = ()> + Send;
}
