"""The model checker of the specification (spec/tools/model), a quick run of it. A failure names the seed."""

import os
import pathlib
import random
import sys
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[3] / "spec" / "tools"
sys.path.insert(0, str(TOOLS))

#: Set by hand to play the same again.
SEED = int(os.environ.get("LIBCHAN_SEED", random.randrange(2**32)))


@unittest.skipUnless((TOOLS / "model").is_dir(), "no specification beside this package")
class Model(unittest.TestCase):
    def play(self, part, count):
        from model.__main__ import PARTS

        PARTS[part](SEED, count)

    def test_worlds(self):
        self.play("worlds", 20)

    def test_links_that_are_cut_behind_each_frame(self):
        self.play("cuts", 1)

    def test_hostile_and_greedy_peers(self):
        self.play("hostile", 40)

    def test_turns(self):
        self.play("fair", 3)


if __name__ == "__main__":
    unittest.main()
