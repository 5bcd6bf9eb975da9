"""What a side is willing to accept: spec/9-limits.md. Every limit bounds something that a peer controls."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_ATTACHMENTS = 253
#: The headers of a message, in bytes.
MAX_HEADERS = 255
#: Capacities, and receives that wait: what 32 bits with a sign hold.
MAX_COUNT = 0x7FFF_FFFF
_MAX_WINDOW = 0x1FFF_FFFF


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds. The first nine stand in the hello, in the order of their tags."""

    max_frame: int = 64 * 1024
    max_message: int = 16 * 1024 * 1024
    max_attachments: int = 64
    max_channels: int = 65_536
    max_pending_accepts: int = 256
    #: Granted at once for every channel, and charged for it.
    initial_window: int = 2048
    stream_window: int = 16 * 1024
    session_memory: int = 512 * 1024 * 1024
    #: Where the link passes descriptors; elsewhere it is 0. 0 switches them off: then they are carried as streams.
    max_descriptors: int = MAX_ATTACHMENTS
    max_window: int = 8 * 1024 * 1024
    max_hello: int = 16 * 1024
    hello_timeout: float = 10.0
    max_control_bytes: int = 1024 * 1024
    max_pings: int = 100
    ping_after: float = 15.0
    dead_after: float = 45.0

    def agree(self, peer: Limits) -> Limits:
        """Of each limit the smaller, brought into range (LI-01)."""
        smaller = {name: min(getattr(self, name), getattr(peer, name)) for name in WIRE_LIMITS}
        return replace(self, **smaller).in_range()

    def in_range(self) -> Limits:
        """The same with every number in the range that may be in force."""
        window = min(max(self.initial_window, 512), _MAX_WINDOW)
        return replace(
            self,
            max_frame=min(max(self.max_frame, 4096), 0xFF_FFFF),
            max_message=min(self.max_message, self.session_memory // 4),
            max_attachments=min(self.max_attachments, MAX_ATTACHMENTS, (window - MAX_HEADERS - 65) // 16),
            initial_window=window,
            stream_window=min(max(self.stream_window, 256), _MAX_WINDOW),
            max_descriptors=min(self.max_descriptors, MAX_ATTACHMENTS),
            max_window=min(max(self.max_window, window), _MAX_WINDOW),
        )

    @property
    def floor(self) -> int:
        """What a sender may wait for before it starts: the fixed part of any message, and one byte."""
        return 33 + MAX_HEADERS + 16 * self.max_attachments


#: The limits of the hello; their tags are 1 to 9.
WIRE_LIMITS = (
    "max_frame",
    "max_message",
    "max_attachments",
    "max_channels",
    "max_pending_accepts",
    "initial_window",
    "stream_window",
    "session_memory",
    "max_descriptors",
)
