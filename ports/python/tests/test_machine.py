"""Single rules of the machine, frame by frame, where the vectors have none: faults that were found, so that they stay
mended."""

import unittest

from libchan.proto import codes, frames
from libchan.proto.errors import OpenError, Reason
from libchan.proto.limits import Limits
from libchan.proto.machine import Machine
from libchan.proto.messages import Parts


def pair(limits=None):
    one, other = Machine(True, limits), Machine(False, limits)
    flow(one, other)
    return one, other


def flow(one, other):
    """Everything that is to be written arrives; no honest peer is ended."""
    moved = True
    while moved:
        moved = False
        for side, far in ((one, other), (other, one)):
            while side.has_output():
                for chunk in side.output():
                    far.receive(bytes(chunk.data))
                    moved = True
            if far.over and far.over.kind != "closed":
                raise AssertionError(far.over)


def accept(machine):
    return [machine.accept(event.entry) or event.entry for event in drain(machine) if event.kind == "opened"]


def drain(machine):
    events = list(machine.events)
    machine.events.clear()
    return events


class Ids(unittest.TestCase):
    def test_a_channel_under_a_hold_is_not_finished(self):
        """A sender came home and nobody has claimed it: the peer may not give the id of its channel again."""
        one, other = pair()
        x, y = one.open("x", 4), one.open("y", 4)
        flow(one, other)
        accept(other)
        one.send(y, Parts(0, b"", [x], 0, {x.id}))
        one.close(x)
        flow(one, other)
        self.assertFalse(x.finished)
        z = one.open("z", 4)
        flow(one, other)
        self.assertNotEqual(z.id, x.id)
        parcel = other.next_parcel(other.entries.open[y.id])
        other.release_hold(parcel.attachments[0].entry)
        flow(one, other)
        self.assertTrue(x.finished)
        self.assertEqual(other.opened_there.count, 2)

    def test_credit_that_has_crossed_close(self):
        """The receiving end is the allocator's: its CREDIT and CANCEL may come when the sender has forgotten the id."""
        one, other = pair()
        carrier = one.open("x", 4)
        flow(one, other)
        (entry,) = accept(other)
        reply = one.allocate(frames.SENDER, 4)
        one.send(carrier, Parts(0, b"", [reply]))
        flow(one, other)
        sender = other.next_parcel(entry).attachments[0].entry
        other.close(sender)
        self.assertTrue(sender.finished)
        other.receive(frames.encode(frames.Credit(reply.id, 0, 1, 10)))
        other.receive(frames.encode(frames.Cancel(reply.id, 0, 0, Reason(0))))
        self.assertIsNone(other.over)
        other.receive(frames.encode(frames.Message(reply.id, 0, 0, (), None, b"")))
        self.assertEqual(other.over.code, codes.UNKNOWN_ID)


class Budgets(unittest.TestCase):
    def test_each_side_has_its_own(self):
        one, other = pair(Limits(max_channels=3))
        for side in (one, other):
            for _ in range(3):
                side.open("x", 1)
            with self.assertRaises(OpenError):
                side.open("x", 1)
        flow(one, other)

    def test_by_default_one_side_opens_all_channels(self):
        machine = pair()[0]
        for _ in range(65_536):
            machine.allocate(frames.SENDER, 1)
        with self.assertRaisesRegex(OpenError, "max_channels"):
            machine.allocate(frames.SENDER, 1)


class Bytes(unittest.TestCase):
    def test_a_small_message_is_never_split(self):
        one, other = pair()
        entry = one.open("x", 1000)
        flow(one, other)
        accept(other)
        sent = 0
        while one.blocked(entry, 0, 532) is None:
            one.send(entry, Parts(0, b"x" * 500))
            sent += 1
        self.assertEqual((sent, one.blocked(entry, 0, 532)), (3, "bytes"))
        self.assertIsNone(entry.large)

    def test_a_cut_message_counts_as_never_begun(self):
        """Its memory is free at the CLOSE that cuts it, and the CLOSE is answered when what came before was taken."""
        one, other = pair(Limits(session_memory=400_000, max_message=90_000))
        entry = one.open("x", 4)
        flow(one, other)
        (there,) = accept(other)
        one.send(entry, Parts(0, b"whole"))
        one.send(entry, Parts(0, b"x" * 80_000))
        flow(one, other)
        parcel = other.next_parcel(there)
        other.want(there, 1)
        other.taken(there, 1, parcel.charge)
        self.assertGreater(other.ours.extra, 0)
        other.receive(frames.encode(frames.Close(entry.id, 0, Reason(codes.PANICKED))))
        self.assertEqual((other.ours.extra, there.finished), (0, True))

    def test_headers_are_charged_and_arrive(self):
        one, other = pair()
        entry = one.open("x", 4)
        flow(one, other)
        (there,) = accept(other)
        for size in (3, 5000):
            one.send(entry, Parts(0, b"x" * size, (), 0, set(), b"\x01\x02ab"))
            flow(one, other)
            other.want(there, 1)
            flow(one, other)
            parcel = other.next_parcel(there)
            self.assertEqual((parcel.headers, parcel.charge), (b"\x01\x02ab", 36 + size))
            other.taken(there, 1, parcel.charge)
            flow(one, other)


class Goodbye(unittest.TestCase):
    def test_what_is_cut_is_told(self):
        one, other = pair()
        entry = one.open("x", 4)
        flow(one, other)
        accept(other)
        one.send(entry, Parts(0, b"x" * 100_000))
        flow(one, other)
        one.goodbye()
        flow(one, other)
        self.assertIsNone(one.over)
        one.goodbye(at_once=True)
        flow(one, other)
        self.assertEqual((one.over.kind, other.over.kind, one.cut), ("closed", "closed", 1))
        self.assertEqual(entry.cancelled.code, codes.SESSION_CLOSED)

    def test_what_was_written_goes_before_the_answer(self):
        one, other = pair()
        entry = one.open("x", 4)
        flow(one, other)
        (there,) = accept(other)
        one.send(entry, Parts(0, b"still goes"))
        one.receive(frames.encode(frames.Goodbye(Reason(0))))
        other.goodbye()
        other.output()
        for chunk in one.output():
            other.receive(bytes(chunk.data))
        self.assertEqual(other.next_parcel(there).payload, b"still goes")
        self.assertEqual(there.close_reason.code, codes.SESSION_CLOSED)


if __name__ == "__main__":
    unittest.main()
