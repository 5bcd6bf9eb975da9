"""A model checker of the protocol: machines under random applications, hostile peers and cut links, every sum
computed again after each step. See README.md beside this file."""

import os
import pathlib
import sys

#: The machine that is checked: `LIBCHAN_PORT` names another folder with a package `libchan`, for mutants.
PORT = pathlib.Path(os.environ.get("LIBCHAN_PORT") or pathlib.Path(__file__).resolve().parents[3] / "ports" / "python")

if str(PORT) not in sys.path:
    sys.path.insert(0, str(PORT))
