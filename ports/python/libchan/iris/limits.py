"""What a service takes on at the same time, and what may wait for a subscription."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields

#: Channels of twice as many messages are made of them.
_MOST = 1 << 30
MIB = 1 << 20


def _check(limits: Limits | TopicLimits) -> None:
    for one in fields(limits):
        value = getattr(limits, one.name)
        if type(value) is not int or not 1 <= value <= (1 << 63 if one.name.endswith("bytes") else _MOST):
            raise ValueError(f"{type(limits).__name__}.{one.name} is a number from 1 on, not {value!r}")


@dataclass(frozen=True)
class Limits:
    """What one member of a cluster takes on. What does not fit waits in the relay (requests), or is lost and counted
    (broadcasts). Each is 1 or more; `ValueError` otherwise."""

    #: Requests that are handled at the same time.
    requests: int = field(default_factory=lambda: 4 * (os.cpu_count() or 1))
    #: Bytes of the requests that are handled at the same time: a further one is taken as long as they are fewer.
    request_bytes: int = 64 * MIB
    #: Broadcasts that wait for the handler.
    broadcasts: int = 1024
    #: Bytes of the broadcasts that wait in the relay.
    broadcast_bytes: int = 64 * MIB
    #: Broadcasts that are handled at the same time. 1 keeps their order.
    broadcast_handlers: int = 1
    #: Tunnels that are open at the same time.
    tunnels: int = 1024

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class TopicLimits:
    """What may wait for a subscription that does not read. What does not fit is lost, and `Subscription.lost` counts
    it. Each is 1 or more; `ValueError` otherwise."""

    #: Events.
    events: int = 1024
    #: Bytes of the events that wait in the relay.
    bytes: int = 64 * MIB

    def __post_init__(self) -> None:
        _check(self)
