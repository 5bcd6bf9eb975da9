//! The dialer's end: the request is sent at once, and the answer is looked at when it comes.

use std::collections::VecDeque;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::client::{Connection, ResponseFuture};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use libchan::{LinkInfo, LinkReader, LinkWriter};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::super::answer::refusal;
use super::super::error::HttpError;
use super::super::gather::{gather, hand_out};
use super::super::options::{ContentType, HttpDialOptions};
use super::{CONNECTION_WINDOW, Http2Link, LINGER, MAX_FRAME, SEND_BUFFER, STREAM_WINDOW};
use crate::url::HttpAddress;
use crate::writing::{refuse_descriptors, try_by_poll};

/// The most bytes of one DATA frame.
const CHUNK: usize = MAX_FRAME as usize;

/// How long the response's headers may be.
const HEADERS: u32 = 16 * 1024;

/// As much of a refusal's body is read; a reason for people needs no more.
const BODY_LIMIT: usize = 4096;

/// What the server answered, if it was no session: known once the link has failed.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Verdict(Arc<Mutex<Option<HttpError>>>);

impl Verdict {
    pub(in crate::http) fn take(&self) -> Option<HttpError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: HttpError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

impl Http2Link {
    /// Sends the request for a session over `stream`, with prior knowledge that the other side speaks HTTP/2, and does
    /// not wait for the answer. A task of its own moves the connection's frames as long as the link lives.
    ///
    /// # Errors
    /// The request cannot be sent. An answer that is no session is an error of the link's first read.
    pub async fn connect<S>(
        stream: S,
        address: &HttpAddress,
        options: &HttpDialOptions,
        info: LinkInfo,
    ) -> Result<Self, HttpError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Ok(Self::connect_with_verdict(stream, address, options, info).await?.0)
    }

    pub(in crate::http) async fn connect_with_verdict<S>(
        stream: S,
        address: &HttpAddress,
        options: &HttpDialOptions,
        info: LinkInfo,
    ) -> Result<(Self, Verdict), HttpError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = request(address, options)?;
        let handshake = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME)
            .max_header_list_size(HEADERS)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(STREAM_WINDOW as usize)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await;
        let (mut send_request, connection) = handshake.map_err(|error| not_http2(&error))?;
        let (response, body) =
            send_request.send_request(request, false).map_err(|error| not_http2(&error))?;
        let (gone, last) = oneshot::channel();
        tokio::spawn(drive(connection, last));
        let (verdict, ends) = (Verdict::default(), Arc::new(Ends::default()));
        let reader = Reader {
            answer: Answer::Awaited(response),
            chunk: Bytes::new(),
            verdict: verdict.clone(),
            ends: ends.clone(),
            gone: Some(gone),
        };
        let writer = Writer { body, scratch: BytesMut::new(), ends };
        Ok((Self { info, reader: Box::new(reader), writer: Box::new(writer) }, verdict))
    }
}

fn request(address: &HttpAddress, options: &HttpDialOptions) -> Result<Request<()>, HttpError> {
    let bad = |detail: String| HttpError::BadRequest { detail };
    let scheme = if address.is_encrypted() { "https" } else { "http" };
    let uri = format!("{scheme}://{}{}", address.authority(), address.path);
    let mut request = Request::builder().method(Method::POST).uri(uri).body(());
    if let Ok(request) = &mut request {
        *request.headers_mut() = options.request_headers();
        let session = HeaderValue::from_str(&session_name()).map_err(|error| bad(error.to_string()))?;
        request.headers_mut().insert("libchan-session", session);
    }
    request.map_err(|error| bad(error.to_string()))
}

/// 128 bits in base64url, by which a load balancer can keep a session on one backend: a hint and no secret, so the
/// randomness of the standard library's hash maps will do.
fn session_name() -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let half = |salt: u8| u128::from(RandomState::new().hash_one(salt));
    let number = half(0) << 64 | half(1);
    // 22 digits hold 132 bits: the last digit has four zeros.
    (0..22)
        .map(|at| (number.rotate_left(6 * (at + 1)) & 63) as usize)
        .map(|at| char::from(DIGITS[at]))
        .collect()
}

fn not_http2(error: &h2::Error) -> HttpError {
    HttpError::NotHttp { protocol: "HTTP/2", detail: error.to_string() }
}

/// Moves the connection's frames until the link is gone, and then for as long as the stream takes to end.
async fn drive<S>(connection: Connection<S, Bytes>, gone: oneshot::Receiver<Answer>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let lingering = async {
        if let Ok(answer) = gone.await {
            // Held until the server has ended its side too: a stream that nobody holds is reset, and a reset throws
            // away what was written last.
            let _ = timeout(LINGER, answer.run_out()).await;
        }
        // The reset, or the end of the connection, has to leave.
        sleep(LINGER).await;
    };
    tokio::select! {
        _ = connection => {}
        () = lingering => {}
    }
}

/// Which of the two directions have ended.
#[derive(Default)]
struct Ends {
    /// Ours, in good order: how the other's ends has no meaning any more.
    ours: AtomicBool,
    theirs: AtomicBool,
}

/// How far the answer has come.
enum Answer {
    Awaited(ResponseFuture),
    Session(RecvStream),
    Refused { status: StatusCode, headers: HeaderMap, body: RecvStream, read: BytesMut },
    Over,
}

impl Answer {
    /// Reads to the end.
    async fn run_out(self) {
        let mut body = match self {
            Self::Awaited(response) => match response.await {
                Ok(response) => response.into_body(),
                Err(_) => return,
            },
            Self::Session(body) => body,
            Self::Refused { .. } | Self::Over => return,
        };
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
        }
    }
}

struct Reader {
    answer: Answer,
    /// What has arrived and was not read.
    chunk: Bytes,
    verdict: Verdict,
    ends: Arc<Ends>,
    /// Where the stream goes when the link is gone.
    gone: Option<oneshot::Sender<Answer>>,
}

impl Reader {
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Answer::Awaited(response) = &mut self.answer else { return Poll::Ready(Ok(())) };
        match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let is_ours = ContentType::named(head.headers.get(http::header::CONTENT_TYPE)).is_some();
                self.answer = if head.status == StatusCode::OK && is_ours {
                    Answer::Session(body)
                } else {
                    // Known already, should the body never come.
                    self.verdict.set(refusal(head.status, &head.headers, &[]));
                    let (status, headers) = (head.status, head.headers);
                    Answer::Refused { status, headers, body, read: BytesMut::new() }
                };
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.answer = Answer::Over;
                if !error.is_io() && error.is_library() {
                    self.verdict.set(not_http2(&error));
                }
                Poll::Ready(Err(failed(&error)))
            }
        }
    }

    /// Reads what the server says of its refusal, and fails with it.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Answer::Refused { status, headers, body, read } = &mut self.answer else {
            return Poll::Ready(io::ErrorKind::UnexpectedEof.into());
        };
        while read.len() < BODY_LIMIT {
            match ready!(body.poll_data(cx)) {
                Some(Ok(data)) => {
                    let _ = body.flow_control().release_capacity(data.len());
                    read.extend_from_slice(&data[..data.len().min(BODY_LIMIT - read.len())]);
                }
                Some(Err(_)) | None => break,
            }
        }
        let error = refusal(*status, headers, read);
        self.verdict.set(error.clone());
        self.answer = Answer::Over;
        Poll::Ready(io::Error::other(error))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Answer::Session(body) = &mut self.answer else { return Poll::Ready(Ok(false)) };
        match ready!(body.poll_data(cx)) {
            Some(Ok(data)) => {
                // Back at once: what the peer may send is bounded by the session's own credit.
                let _ = body.flow_control().release_capacity(data.len());
                self.chunk = data;
                Poll::Ready(Ok(true))
            }
            Some(Err(error)) if !self.ends.ours.load(Ordering::Relaxed) => {
                self.answer = Answer::Over;
                Poll::Ready(Err(failed(&error)))
            }
            Some(Err(_)) | None => {
                self.answer = Answer::Over;
                self.ends.theirs.store(true, Ordering::Relaxed);
                Poll::Ready(Ok(false))
            }
        }
    }
}

fn failed(error: &h2::Error) -> io::Error {
    io::Error::other(format!("the HTTP/2 stream failed: {error}"))
}

impl LinkReader for Reader {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        _descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_answer(cx))?;
        if matches!(self.answer, Answer::Refused { .. }) {
            return Poll::Ready(Err(ready!(self.poll_refusal(cx))));
        }
        while self.chunk.is_empty() {
            if !ready!(self.poll_chunk(cx))? {
                return Poll::Ready(Ok(0));
            }
        }
        Poll::Ready(Ok(hand_out(&mut self.chunk, buf)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let answer = std::mem::replace(&mut self.answer, Answer::Over);
        if let Some(gone) = self.gone.take() {
            let _ = gone.send(answer);
        }
    }
}

struct Writer {
    body: SendStream<Bytes>,
    scratch: BytesMut,
    ends: Arc<Ends>,
}

impl LinkWriter for Writer {
    fn try_write(&mut self, bufs: &[IoSlice<'_>], descriptors: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        try_by_poll(self, bufs, descriptors)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        descriptors: &mut VecDeque<OwnedFd>,
    ) -> Poll<io::Result<usize>> {
        refuse_descriptors("http", descriptors)?;
        let offered: usize = bufs.iter().map(|buf| buf.len()).sum();
        if offered == 0 {
            return Poll::Ready(Ok(0));
        }
        let wanted = offered.min(CHUNK);
        self.body.reserve_capacity(wanted);
        while self.body.capacity() == 0 {
            match ready!(self.body.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(failed(&error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let count = gather(bufs, wanted.min(self.body.capacity()), &mut self.scratch);
        let data = self.scratch.split().freeze();
        self.body.send_data(data, false).map_err(|error| failed(&error))?;
        Poll::Ready(Ok(count))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ends.ours.swap(true, Ordering::Relaxed) {
            // What was written leaves before it, by the connection's task.
            self.body.send_data(Bytes::new(), true).map_err(|error| failed(&error))?;
        }
        // The server ends its stream after ours: then all has arrived. The reader waits for that already, and its
        // waker is the session's.
        match self.ends.theirs.load(Ordering::Relaxed) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn driver_only(&self) -> bool {
        true
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // An end without a goodbye is a lost session as much as a reset is, and what was written still leaves.
        if !self.ends.ours.load(Ordering::Relaxed) {
            let _ = self.body.send_data(Bytes::new(), true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_differ_and_are_base64url() {
        let (one, other) = (session_name(), session_name());
        assert_ne!(one, other);
        assert_eq!(one.len(), 22);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
}
