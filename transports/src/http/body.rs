//! The body of an answer: nothing, a refusal's words, or one direction of a session.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

#[cfg(feature = "http2")]
use super::http2::ResponseStream;

/// The body of a [`LibchanService`](super::LibchanService)'s answer.
pub struct LibchanBody(Kind);

enum Kind {
    Whole(Bytes),
    #[cfg(feature = "http2")]
    Stream(ResponseStream),
}

impl LibchanBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }

    #[cfg(feature = "http2")]
    pub(super) fn stream(stream: ResponseStream) -> Self {
        Self(Kind::Stream(stream))
    }
}

impl Body for LibchanBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut self.0 {
            Kind::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(std::mem::take(bytes))),
            #[cfg(feature = "http2")]
            Kind::Stream(stream) => stream.poll_data(cx),
        };
        #[cfg(not(feature = "http2"))]
        let _ = cx;
        data.map(|data| data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Kind::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            #[cfg(feature = "http2")]
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for LibchanBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LibchanBody")
    }
}
