"""What goes wrong, as exceptions. The names are those of the Rust library."""

from __future__ import annotations

from .proto import codes
from .proto.errors import OpenError as _ProtoOpenError
from .proto.errors import Reason, SessionOver


class LibchanError(Exception):
    """The base of every error of this package."""


class UrlError(LibchanError, ValueError):
    """A URL that names no place to dial or to listen at."""


class DialError(LibchanError, ConnectionError):
    """The other side was reached, and is none that this side may talk to: a certificate that does not hold, no
    libchan there, a refusal of the carrier."""


class SessionError(LibchanError, ConnectionError):
    """The session is over. ``kind`` says why (the constants of `libchan.proto.errors.SessionOver`), ``code`` is the
    code on the wire."""

    def __init__(self, why: SessionOver) -> None:
        super().__init__(why.text)
        self.kind = why.kind
        self.code = why.code


class OpenError(LibchanError):
    """A channel cannot be opened: a limit of the session would be passed, or it is over."""


class EndOfChannel(LibchanError):
    """`Receiver.recv` found the clean end of the channel. Iterating a receiver ends without it."""


# ---- sending


class SendError(LibchanError):
    """A value that was not accepted: the channel ends in it are still the caller's, unless the error says otherwise."""


class AttachmentInUse(SendError):
    """An end, stream or descriptor in the value was moved into a message before, or is closed."""


class Encode(SendError):
    """The value has no form in the session's codec."""


class Limit(SendError):
    """A channel or stream in the value could not be opened: a limit of the session would be passed."""


class NotPumpable(SendError):
    """A descriptor that is no byte stream cannot cross this link."""


class TooLarge(SendError):
    """The encoded value is longer than the session allows."""


class TooManyAttachments(SendError):
    """The value holds more ends, streams and descriptors than a message may carry."""


class Closed(SendError):
    """The channel takes no more messages. ``code`` and ``text`` are those on the wire."""

    def __init__(self, text: str, code: int = codes.NONE) -> None:
        super().__init__(text or codes.describe(code))
        self.code = code
        self.text = text


class Dropped(Closed):
    """Every receiver is gone."""


class BySender(Closed):
    """A sender closed the channel for all."""


# ---- receiving


class RecvError(LibchanError):
    """There is no message. ``is_end``: the channel is over; otherwise only one message was lost."""

    is_end = False


# ---- both: how a channel ends that its application has not ended


class Refused(Closed, RecvError):
    """A receiver refused what was still to come, and said why; ``code`` and the text are its own. A receiving end sees
    it where the channel on which it was sent was refused."""

    is_end = True


class CutShort(Closed, RecvError):
    """The channel ended, and its application has not said so: one class for each reason. ``code`` and ``text`` are
    those on the wire; ``outcome_unknown``: a message had left, and may have been taken."""

    is_end = True
    outcome_unknown = False


class GoingAway(CutShort):
    """The receiver of the named channel is draining: it takes no more. What it had not taken was not seen."""


class NotDecoded(CutShort):
    """The message that held the end did not decode."""


class NotDelivered(CutShort):
    """The message that held the end was dropped unread."""


class Unclaimed(CutShort):
    """The message that held the end decoded, and its type has no place for the end."""


class Panicked(CutShort):
    """The end was given up by an exception that left its scope."""


class NoReply(CutShort):
    """A oneshot ended without a value."""


class Abandoned(CutShort):
    """The end was dropped before it was finished: by the garbage collector, for instance."""


class SessionClosed(CutShort):
    """The channel was unfinished when a session on its way was closed in good order."""


# ---- receiving alone


class Decode(RecvError):
    """One message did not decode as what was expected. The next one is unharmed."""


class NotEncoded(RecvError):
    """In the place of a message that its sender could not encode. The next one is unharmed."""


class NotForwarded(RecvError):
    """In the place of a message that a relay could not forward. The next one is unharmed."""


class Remote(RecvError):
    """A sender ended the channel with this error; ``code`` is as on the wire, `app_code` the application's."""

    is_end = True

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text or codes.describe(code))
        self.code = code
        self.text = text

    @property
    def app_code(self) -> int | None:
        """The code given to `close_with`, or None if the protocol itself said this."""
        return self.code - codes.APPLICATION if self.code >= codes.APPLICATION else None


class Disconnected(SendError, RecvError, ConnectionError):
    """The link was lost. ``outcome_unknown``: the message had left, and may have been taken."""

    is_end = True

    def __init__(self, text: str = "the link was lost", outcome_unknown: bool = False) -> None:
        super().__init__(text)
        self.outcome_unknown = outcome_unknown


# ---- calls

#: Ends with these codes were never in the hands of an application: see DESIGN of the library, the contract.
_UNSEEN = (
    codes.REFUSED,
    codes.ACCEPT_QUEUE_FULL,
    codes.GOING_AWAY,
    codes.NOT_DECODED,
    codes.NOT_DELIVERED,
)


class CallError(LibchanError):
    """A call that has no answer. ``error`` is why: what `send` or the reply's `recv` raised, or a `TimeoutError`.
    ``sent``: the request was accepted."""

    def __init__(self, error: BaseException, sent: bool, may_have_left: bool = False) -> None:
        super().__init__(f"the {'reply did not come' if sent else 'request was not sent'}: {error}")
        self.error = error
        self.sent = sent
        self._may_have_left = may_have_left

    @property
    def code(self) -> int:
        """The code on the wire; 0 where there is none."""
        return getattr(self.error, "code", codes.DISCONNECTED if isinstance(self.error, Disconnected) else codes.NONE)

    @property
    def is_safe_to_retry(self) -> bool:
        """Whether no application can have seen the request."""
        if not self.sent:
            return not (self._may_have_left or getattr(self.error, "outcome_unknown", False))
        return self.code in _UNSEEN


# ---- byte streams


class StreamError(LibchanError, ConnectionError):
    """A byte stream ended with an error, or its reader has gone. ``code`` and ``said``, a text, are as on the wire."""

    def __init__(self, text: str, code: int = codes.NONE, said: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.said = said


_CUT_SHORT: dict[int, type[CutShort]] = {
    codes.GOING_AWAY: GoingAway,
    codes.UNCLAIMED: Unclaimed,
    codes.NOT_DECODED: NotDecoded,
    codes.NOT_DELIVERED: NotDelivered,
    codes.PANICKED: Panicked,
    codes.NO_REPLY: NoReply,
    codes.ABANDONED: Abandoned,
    codes.SESSION_CLOSED: SessionClosed,
}


def why_closed(reason: Reason) -> SendError:
    """What a sender sees of a CANCEL (spec/8-errors.md)."""
    if reason.code == codes.NONE:
        return Dropped("every receiver is gone")
    if reason.code == codes.CLOSED:
        return BySender("a sender closed the channel", reason.code)
    if reason.code == codes.DISCONNECTED:
        return Disconnected(reason.text or "the link to the receiver was lost")
    return _CUT_SHORT.get(reason.code, Refused)(reason.text, reason.code)


def why_ended(reason: Reason) -> LibchanError:
    """What a receiver sees of a CLOSE (spec/8-errors.md)."""
    if reason.code == codes.NONE:
        return EndOfChannel("the channel has ended")
    if reason.code == codes.DISCONNECTED:
        return Disconnected(reason.text or "the link to a sender was lost")
    if reason.code in (codes.REFUSED, codes.ACCEPT_QUEUE_FULL):
        return Refused(reason.text, reason.code)
    return _CUT_SHORT.get(reason.code, Remote)(reason.text, reason.code)


def app_reason(code: int, text: str) -> Reason:
    """The application's code and text as they travel."""
    if not 0 <= code <= 0xFFFF - codes.APPLICATION:
        raise ValueError(f"an application's code is 0 to {0xFFFF - codes.APPLICATION}, not {code}")
    return Reason(codes.APPLICATION + code, text)


def panicked(kind: type[BaseException]) -> Reason:
    """What is said of ends that an exception leaves behind. Its text may be secret: the name must do."""
    return Reason(codes.PANICKED, f"its holder was left by an exception: {kind.__name__}")


def open_error(error: _ProtoOpenError) -> OpenError:
    return OpenError(str(error))
