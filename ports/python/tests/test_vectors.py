"""The vectors of the specification."""

import unittest

import vectors

from libchan.proto.machine import Machine
from libchan.testee import notation


@unittest.skipUnless(vectors.FOLDER.is_dir(), "no vectors beside this package")
class Vectors(unittest.TestCase):
    def each(self, name, run):
        entries = vectors.load(name)
        for entry in entries:
            with self.subTest(entry["id"]):
                try:
                    run(entry)
                except notation.Failure as failure:
                    self.fail(str(failure.answer))
        return entries

    def test_frames(self):
        def run(entry):
            entry = vectors.expand(entry)
            data = bytes.fromhex(entry["hex"])
            if "error" in entry or "code" in entry:
                with self.assertRaises(notation.Failure) as caught:
                    notation.decode_frame(data)
                self.assertEqual(caught.exception.answer["name"], entry.get("error") or entry.get("code"))
                return
            got = notation.decode_frame(data)
            for key, value in entry["frame"].items():
                # What is absent has its zero value.
                self.assertEqual(got.get(key, value if value in (0, "", [], None) else None), value, key)
            if entry["mode"] == "both":
                self.assertEqual(notation.encode_frame(entry["frame"]).hex(), data.hex())

        self.each("frames.json", run)

    def test_sessions(self):
        def run(entry):
            vectors.Conversation(entry).run()
            if not entry.get("whole"):
                vectors.Conversation(entry, whole=False).run()

        self.each("sessions/*.json", run)

    def test_reject(self):
        self.each("reject.json", vectors.run_reject)

    def test_values(self):
        def run(entry):
            codec = entry.get("codec") or entry["id"].split(".")[1]
            if codec not in ("raw", "json", "msgpack"):
                return
            entry = vectors.expand(entry)
            for data in entry["encodings"]:
                decoded = lambda: notation.decode_value(codec, bytes.fromhex(data), entry.get("attachments", 0))  # noqa: E731,B023
                if "error" in entry:
                    with self.assertRaises(notation.Failure):
                        decoded()
                else:
                    self.assertEqual(decoded(), entry["value"])
            if "error" not in entry and entry.get("mode") != "decode":
                self.assertIn(notation.encode_value(codec, entry["value"]).hex(), entry["encodings"])

        self.each("values.*.json", run)

    def test_a_machine_reads_frames_cut_anywhere(self):
        """The whole of a dialer's hello, in two parts at every place."""
        hello = b"".join(bytes(chunk.data) for chunk in Machine(True).output())
        for at in range(len(hello)):
            machine = Machine(False)
            machine.receive(hello[:at])
            self.assertFalse(machine.established)
            machine.receive(hello[at:])
            self.assertTrue(machine.established)


if __name__ == "__main__":
    unittest.main()
