"""carriers.json: what carriers do around the bytes. Data for a port's own tests of its carriers: nothing here needs a
socket. Headers are in lower case; where a list stands, any of its members will do."""

import base64
import hashlib

V1 = "application/vnd.libchan.v1"
GRPC = "application/grpc+libchan"


class Carriers:
    def __init__(self):
        self.entries = []
        self.numbers = {}

    def add(self, carrier, req, why, kind, **case):
        self.numbers[carrier] = self.numbers.get(carrier, 0) + 1
        self.entries.append(
            {
                "id": f"ca.{carrier}.{self.numbers[carrier]:03}",
                "req": req.split(),
                "level": 0,
                "why": why,
                "carrier": carrier,
                "kind": kind,
                **case,
            }
        )


def request(**changes):
    """What a dialer of http2 sends; a change to None takes a header away."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/libchan/v1",
        "content-type": V1,
        "accept": V1,
        "cache-control": "no-store, no-transform",
        "accept-encoding": "identity",
        "te": "trailers",
        "libchan-session": "AAECAwQFBgcICQoLDA0ODw",
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    return {name: value for name, value in headers.items() if value is not None}


def http2(c):
    n = "http2"
    c.add(
        n,
        "HT-01 HT-02 HT-07",
        "a dialer's request; the preface and HELLO go with it, before any answer",
        "request",
        url="h2c://127.0.0.1:7400",
        headers={k: v for k, v in request().items() if k != "libchan-session"},
        absent=["content-length", "transfer-encoding"],
        random={"libchan-session": "^[A-Za-z0-9_-]{22}$"},
        waits_for_answer=False,
    )
    c.add(
        n,
        "HT-01",
        "a path in the URL takes the place of the usual one",
        "request",
        url="h2c://127.0.0.1:7400/work/jobs",
        headers={":path": "/work/jobs"},
        absent=["content-length"],
    )
    c.add(
        n,
        "HT-01",
        "a bearer",
        "request",
        url="https://example.test/libchan/v1",
        bearer="sesame",
        headers={":scheme": "https", "authorization": "Bearer sesame"},
        absent=["content-length"],
    )
    for content in (V1, GRPC):
        c.add(
            n,
            "HT-01 HT-07 HT-08",
            f"an acceptor's answer to {content}",
            "answer",
            request=request(**{"content-type": content}),
            status=200,
            headers={
                "content-type": content,
                "cache-control": "no-store, no-transform",
                "x-accel-buffering": "no",
            },
            absent=["content-length", "content-encoding"],
        )
    c.add(
        n,
        "HT-08",
        "a client that would take gzip gets none",
        "answer",
        request=request(accept_encoding="gzip, br"),
        status=200,
        headers={"content-type": V1},
        absent=["content-encoding", "content-length"],
    )
    c.add(
        n,
        "HT-05",
        "a proxy has taken te and accept away",
        "answer",
        request=request(te=None, accept=None),
        status=200,
        headers={"content-type": V1},
    )
    for why, changes, status, headers in (
        ("another path", {":path": "/elsewhere"}, [404], {}),
        ("another content type", {"content-type": "application/json"}, [415], {}),
        ("no content type", {"content-type": None}, [415], {}),
        ("a method that is nothing here", {":method": "PUT"}, [405], {}),
        ("a web page's request that was not allowed", {"origin": "https://evil.test"}, [403], {}),
    ):
        req = "WS-11 HT-11" if "web page" in why else "HT-11"
        c.add(
            n,
            req,
            f"refused: {why}",
            "answer",
            request=request(**changes),
            status=status,
            headers={"content-type": "application/problem+json", **headers},
        )
    c.add(
        n,
        "HT-09 HT-11",
        "refused: no credential where one is wanted",
        "answer",
        wants="bearer",
        request=request(),
        status=[401],
        headers={"content-type": "application/problem+json"},
        present=["www-authenticate"],
    )
    ok = {"content-type": V1}
    for why, status, headers, verdict in (
        ("200 and our type", 200, ok, "session"),
        ("200 and the type for proxies that pass only gRPC", 200, {"content-type": GRPC}, "session"),
        ("200 and a page", 200, {"content-type": "text/html"}, "refused"),
        ("200 and no type", 200, {}, "refused"),
        ("another status of success", 204, ok, "refused"),
        ("a redirect is not followed", 307, {"location": "https://other.test/libchan/v1"}, "refused"),
        ("a permanent one neither", 308, {"location": "/libchan/v1"}, "refused"),
        ("401", 401, {"www-authenticate": "Bearer"}, "refused"),
        ("403", 403, {}, "refused"),
        ("404", 404, {}, "refused"),
        ("429 with a time", 429, {"retry-after": "7"}, "refused"),
        ("502 from a proxy", 502, {"content-type": "text/html"}, "refused"),
        ("503", 503, {}, "refused"),
    ):
        c.add(
            n,
            "HT-12 HT-11" if "redirect" in why or "permanent" in why else "HT-11",
            f"a dialer's judgement: {why}",
            "verdict",
            answer={"status": status, "headers": headers},
            verdict=verdict,
            **({"retry_after": 7} if "retry-after" in headers else {}),
        )
    for status in (401, 403, 429):
        c.add(
            n,
            "HT-11",
            f"{status} does not send a dialer over to a WebSocket",
            "fallback",
            answer={"status": status, "headers": {}},
            fallback=False,
        )
    for status in (404, 405, 415, 502):
        c.add(
            n,
            "HT-11",
            f"{status} does, where it can",
            "fallback",
            answer={"status": status, "headers": {}},
            fallback=True,
        )
    for why, event, outcome in (
        ("END_STREAM before the goodbyes", "end_stream", "lost"),
        ("RST_STREAM with NO_ERROR before the goodbyes", "reset NO_ERROR", "lost"),
        ("RST_STREAM with CANCEL before the goodbyes", "reset CANCEL", "lost"),
        ("trailers that say grpc-status 0, before the goodbyes", "trailers grpc-status: 0", "lost"),
        ("a GOAWAY whose last stream is before ours", "goaway before the stream", "lost"),
        ("a GOAWAY that leaves our stream alone", "goaway after the stream", "goes on"),
    ):
        req = (
            "HT-10"
            if outcome == "goes on"
            else "HT-04 HT-05" if "trailers" in why or "reset" in event else "HT-04"
        )
        c.add(n, req, why, "end", event=event, outcome=outcome)
    c.add(
        n,
        "HT-03",
        "after both goodbyes the dialer ends its half, then the acceptor",
        "order",
        frames=[
            ["dialer", "GOODBYE"],
            ["acceptor", "GOODBYE"],
            ["dialer", "END_STREAM"],
            ["acceptor", "END_STREAM"],
        ],
    )


def upgrade(**changes):
    headers = {
        ":method": "GET",
        ":path": "/libchan/v1",
        ":version": "HTTP/1.1",
        "host": "127.0.0.1:7400",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": "libchan.v1",
    }
    headers.update(changes)
    return {name: value for name, value in headers.items() if value is not None}


def accept(key):
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()


def websocket(c):
    n = "websocket"
    c.add(
        n,
        "WS-01 WS-04",
        "a dialer's request",
        "request",
        url="ws://127.0.0.1:7400",
        headers={
            name: value for name, value in upgrade().items() if name not in ("host", "sec-websocket-key")
        },
        absent=["sec-websocket-extensions"],
        random={"sec-websocket-key": "^[A-Za-z0-9+/]{22}==$"},
    )
    c.add(
        n,
        "WS-02",
        "an acceptor's answer",
        "answer",
        request=upgrade(),
        status=101,
        headers={
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-protocol": "libchan.v1",
            "sec-websocket-accept": accept("dGhlIHNhbXBsZSBub25jZQ=="),
        },
        absent=["sec-websocket-extensions"],
    )
    c.add(
        n,
        "WS-02",
        "ours among other subprotocols",
        "answer",
        request=upgrade(**{"sec-websocket-protocol": "chat, libchan.v1, x"}),
        status=101,
        headers={"sec-websocket-protocol": "libchan.v1"},
    )
    c.add(
        n,
        "WS-04",
        "an extension that the client offers is not accepted",
        "answer",
        request=upgrade(**{"sec-websocket-extensions": "permessage-deflate; client_max_window_bits"}),
        status=101,
        headers={"sec-websocket-protocol": "libchan.v1"},
        absent=["sec-websocket-extensions"],
    )
    c.add(
        n,
        "WS-02",
        "a proxy that translates from HTTP/2 sends no key, and gets no proof",
        "answer",
        request=upgrade(**{"sec-websocket-key": None}),
        status=101,
        headers={"sec-websocket-protocol": "libchan.v1"},
        absent=["sec-websocket-accept"],
    )
    for why, changes, status, req in (
        ("no subprotocol", {"sec-websocket-protocol": None}, [400], "WS-02"),
        ("another subprotocol", {"sec-websocket-protocol": "chat"}, [400], "WS-02"),
        ("another version of WebSocket", {"sec-websocket-version": "8"}, [426, 400], "WS-02"),
        ("no upgrade", {"upgrade": None, "connection": None}, [426, 400, 405], "WS-02"),
        ("an origin that was not allowed", {"origin": "https://evil.test"}, [403], "WS-11"),
        ("another path", {":path": "/elsewhere"}, [404], "WS-02"),
    ):
        c.add(n, req, f"refused: {why}", "answer", request=upgrade(**changes), status=status)
    good = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": accept("dGhlIHNhbXBsZSBub25jZQ=="),
    }
    for why, status, headers, verdict, req in (
        ("selected", 101, {**good, "sec-websocket-protocol": "libchan.v1"}, "session", "WS-03"),
        ("nothing selected", 101, good, "refused", "WS-03"),
        ("another one selected", 101, {**good, "sec-websocket-protocol": "chat"}, "refused", "WS-03"),
        (
            "an extension that was not offered",
            101,
            {
                **good,
                "sec-websocket-protocol": "libchan.v1",
                "sec-websocket-extensions": "permessage-deflate",
            },
            "refused",
            "WS-04",
        ),
        ("200 and a page", 200, {"content-type": "text/html"}, "refused", "WS-03"),
        ("a redirect is not followed", 302, {"location": "/"}, "refused", "WS-03"),
    ):
        c.add(
            n,
            req,
            f"a dialer's judgement: {why}",
            "verdict",
            key="dGhlIHNhbXBsZSBub25jZQ==",
            answer={"status": status, "headers": headers},
            verdict=verdict,
        )
    hello = "6c69626368616e01"
    for why, messages in (
        ("in one message", [hello + "00000d"]),
        ("a message a byte", [hello[i : i + 2] for i in range(0, 16, 2)]),
        ("empty messages between", ["", hello[:6], "", "", hello[6:], ""]),
    ):
        c.add(n, "WS-07", f"the protocol's bytes {why}", "bytes", messages=messages, bytes="".join(messages))
    c.add(
        n,
        "WS-07",
        "one message in several WebSocket frames",
        "bytes",
        frames=[
            ["binary", hello[:4], False],
            ["continuation", hello[4:10], False],
            ["continuation", hello[10:], True],
        ],
        bytes=hello,
    )
    c.add(
        n,
        "WS-08 WS-07",
        "a WebSocket ping between the frames of a message is answered, and no byte of the protocol",
        "bytes",
        frames=[["binary", hello[:4], False], ["ping", "0102", True], ["continuation", hello[4:], True]],
        bytes=hello,
        answers=[["pong", "0102", True]],
    )
    for why, event, code, outcome, req in (
        ("both goodbyes are said", "both goodbyes", 1000, "closed", "WS-10"),
        ("this side drops the session", "abort", 1001, "lost", "WS-10"),
        ("a text message", "text message", 1002, "lost", "WS-06"),
        ("a message of 1,048,577 bytes", "message of 1048577 bytes", 1009, "lost", "WS-05"),
        ("a frame that is not masked by the client", "unmasked frame", 1002, "lost", "WS-10"),
    ):
        c.add(n, req, f"this side closes: {why}", "close", event=event, code=code, outcome=outcome)
    for code in (1000, 1001, 1006, 1011):
        c.add(
            n,
            "WS-10",
            f"the peer closes with {code} before the goodbyes",
            "end",
            event=f"close {code}",
            outcome="lost",
        )
    c.add(
        n,
        "WS-05",
        "a message of exactly 1,048,576 bytes is taken",
        "end",
        event="message of 1048576 bytes",
        outcome="goes on",
    )
    c.add(
        n,
        "WS-09",
        "a WebSocket ping in the last 15 s does not stand for the protocol's PING",
        "order",
        frames=[["either", "websocket ping"], ["either", "websocket pong"], ["either", "PING"]],
    )


def tls(c):
    n = "tls"
    c.add(
        n,
        "TL-01 TL-04",
        "what a dialer offers",
        "handshake",
        url="tls://build.example:7400",
        alpn=["libchan/1"],
        server_name="build.example",
    )
    c.add(
        n,
        "TL-01 TL-04",
        "an address has no server name",
        "handshake",
        url="tls://127.0.0.1:7400",
        alpn=["libchan/1"],
        server_name=None,
    )
    c.add(n, "TL-02", "nothing was agreed on", "agreed", alpn=None, outcome="refused")
    c.add(n, "TL-02", "another protocol was", "agreed", alpn="h2", outcome="refused")
    c.add(n, "TL-02", "ours was", "agreed", alpn="libchan/1", outcome="session")
    for why, event, outcome in (
        ("close_notify before the goodbyes", "close_notify", "lost"),
        (
            "the end of the connection after both goodbyes, without close_notify",
            "eof after both goodbyes",
            "closed",
        ),
    ):
        c.add(n, "TL-08", why, "end", event=event, outcome=outcome)


def tcp(c):
    for why, event, outcome in (
        ("the connection ends before the goodbyes", "eof", "lost"),
        ("it is reset after both goodbyes", "reset after both goodbyes", "closed"),
        ("it is reset before", "reset", "lost"),
    ):
        c.add("tcp", "TC-03", why, "end", event=event, outcome=outcome)


def entries():
    c = Carriers()
    for carrier in (http2, websocket, tls, tcp):
        carrier(c)
    return c.entries
