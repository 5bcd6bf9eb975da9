"""The programs of the README run, and print what it says they do."""

import pathlib
import re
import subprocess
import sys
import unittest

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"


class Programs(unittest.TestCase):
    def run_program(self, holds):
        programs = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)
        (program,) = [program for program in programs if holds in program]
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_a_first_minute(self):
        self.assertEqual(self.run_program("class Job"), "4\n")

    def test_what_must_not_look_complete(self):
        printed = self.run_program("class Query")
        self.assertEqual(printed, "whole [0, 1, 2]\ntorn is incomplete: it was dropped before it was finished\n")


if __name__ == "__main__":
    unittest.main()
