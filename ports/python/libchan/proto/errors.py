"""Why a session ends, and why a command is not taken."""

from __future__ import annotations

from dataclasses import dataclass

from . import codes


@dataclass(frozen=True)
class Reason:
    """A code and a text for people: the end of CLOSE, CANCEL, END, STOP and GOODBYE."""

    code: int = codes.NONE
    text: str = ""

    def __str__(self) -> str:
        return self.text or codes.describe(self.code)


NO_REASON = Reason()


class Misbehaviour(Exception):
    """The peer broke a rule. ``code`` is what it is told in the GOODBYE."""

    def __init__(self, text: str, code: int = codes.PROTOCOL) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class SessionOver:
    """Why a session is over. ``kind`` is one of the class's constants, ``code`` what one side told the other, and
    ``said`` the text that the peer sent with it."""

    kind: str
    text: str
    code: int = codes.NONE
    said: str = ""

    CLOSED = "closed"
    LOST = "lost"
    #: Closed in good order, but not all that was accepted had left.
    INCOMPLETE = "incomplete"
    PEER_CLOSED = "peer_closed"
    PEER_MISBEHAVED = "peer_misbehaved"
    NOT_LIBCHAN = "not_libchan"
    UNSUPPORTED_VERSION = "unsupported_version"
    NO_COMMON_CODEC = "no_common_codec"
    HELLO_TIMEOUT = "hello_timeout"
    PEER_SILENT = "peer_silent"
    PEER_NOT_READING = "peer_not_reading"


class OpenError(Exception):
    """A channel or stream cannot be opened: a limit would be passed, or the session is over."""
