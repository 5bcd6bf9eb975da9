//! Everybody who takes part. A contender gives callers (request and reply), the two ends of a stream or an opener of
//! channels; the workloads drive them.

pub mod libchan;
pub mod local;
pub mod map;
#[cfg(feature = "peers")]
pub mod peers;
pub mod queued;
pub mod raw;
pub mod raw_fd;
pub mod raw_tls;

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

/// Opens channels on one connection, uses each once and keeps both ends.
pub trait Opener: Send + 'static {
    fn open(&mut self, count: usize) -> impl Future<Output = ()> + Send;
}
