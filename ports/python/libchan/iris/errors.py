"""What can go wrong with a request, a tunnel or a registration. The names are those of the crate `libchan-iris`."""

from __future__ import annotations

from .. import errors as channels
from ..errors import LibchanError


class IrisError(LibchanError):
    """Why a request, tunnel, subscription or registration came to nothing.

    ``is_safe_to_retry``: no handler has seen the request, so asking again cannot run it twice."""

    is_safe_to_retry = False


class Timeout(IrisError, TimeoutError):
    """The time was up. The handler may have run, or may still run until it hears of the cancellation."""

    def __init__(self, text: str = "no answer came in time; the handler may have run") -> None:
        super().__init__(text)


class Closed(IrisError, ConnectionError):
    """The connection to the relay is closed, or was lost before the request left; or the relay goes, and has not
    taken the request."""

    is_safe_to_retry = True

    def __init__(self, text: str = "the connection to the relay is closed") -> None:
        super().__init__(text)


class Remote(IrisError):
    """The handler answered with an error: ``text`` is what it said."""

    def __init__(self, text: str) -> None:
        super().__init__(f"the handler failed: {text}")
        self.text = text


class NoMember(IrisError):
    """The cluster has no member, and the request was not to wait for one."""

    is_safe_to_retry = True

    def __init__(self) -> None:
        super().__init__("the cluster has no member")


class Busy(IrisError):
    """There was no room for it, in the relay or at the member. No handler has seen it."""

    is_safe_to_retry = True

    def __init__(self) -> None:
        super().__init__("the cluster has no room for the request now; try again later")


class Lost(IrisError, ConnectionError):
    """The member that had the request, or the relay, is gone. The handler may have run."""

    def __init__(self, text: str = "the member that had the request, or the relay, is gone; the handler may have run"):
        super().__init__(text)


class Refused(IrisError):
    """The relay does not allow this: ``text`` is what it said."""

    is_safe_to_retry = True

    def __init__(self, text: str) -> None:
        super().__init__(f"the relay refuses it: {text}")
        self.text = text


class Local(IrisError):
    """It failed on this side, before anything was sent: the text says what to change."""

    is_safe_to_retry = True


class NotDecoded(IrisError):
    """The reply, event or body came, and is not what this side takes it for: the text says what it is."""

    def __init__(self, text: str) -> None:
        super().__init__(f"it came and does not decode: {text}")


class Fault(Exception):
    """What a handler raises instead of a reply: the caller sees it as `Remote` with this text.

    Any other exception that leaves a handler is a fault too. Its caller sees the name of the exception and not its
    text, which may be secret; the text goes to the log."""


def not_sent(error: channels.SendError) -> IrisError:
    """What a failed send to the relay means."""
    if isinstance(error, channels.Refused):
        return Refused(str(error))
    if isinstance(error, channels.Disconnected):
        return Lost() if error.outcome_unknown else Closed()
    if isinstance(error, channels.Closed):
        return Closed()
    return Local(str(error))
