"""Iris on libchan channels: requests to clusters, broadcast, publish/subscribe and tunnels, through a relay.

An application attaches to a relay and speaks to **clusters** and **topics** by name, never to addresses. A cluster is
any number of services that do the same: a request goes to the freest of them, a broadcast to all. A topic is what its
subscribers hear. The relay is a program of the Rust crate `libchan-iris`; what is said to it is in spec/iris.md.

    async with await iris.connect("unix:///run/iris.sock") as relay:
        async with await relay.register("adder", add):
            print(await relay.request("adder", [2, 3], timeout=1))
"""

from .body import Body
from .connection import Connection, connect
from .errors import (
    Busy,
    Closed,
    Fault,
    IrisError,
    Local,
    Lost,
    NoMember,
    NotDecoded,
    Refused,
    Remote,
    Timeout,
)
from .limits import Limits, TopicLimits
from .service import Handler, Service
from .subscription import Subscription
from .tunnel import Tunnel

__all__ = [
    "Body",
    "Busy",
    "Closed",
    "Connection",
    "Fault",
    "Handler",
    "IrisError",
    "Limits",
    "Local",
    "Lost",
    "NoMember",
    "NotDecoded",
    "Refused",
    "Remote",
    "Service",
    "Subscription",
    "Timeout",
    "TopicLimits",
    "Tunnel",
    "connect",
]
