"""Does the checker notice broken rules? One is broken at a time, in a copy of the port; the control breaks none."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import PORT

TOOLS = pathlib.Path(__file__).resolve().parents[1]
#: What each copy plays: parts and how many. The seeds are always the same ones.
PLAYED = (("worlds", 40), ("cuts", 1), ("hostile", 20), ("fair", 4))


@dataclass(frozen=True)
class Mutant:
    """``old`` stands once in the file, and becomes ``new``."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant("credit-due-at-zero-only", "credit.py", "or self.left < self.floor)", "or self.left <= 0)"),
    Mutant("frame-beyond-the-credit", "messages.py", "entry.credit - fixed)", "entry.credit + 50)"),
    Mutant(
        "sender-forgets-at-CLOSE",
        "channels.py",
        "if not entry.own or entry.cancelled or self.over:",
        "if True:",
    ),
    Mutant(
        "CANCEL-before-all-is-taken",
        "channels.py",
        "if entry.closed and not waits and entry.taken == entry.arrived:",
        "if entry.closed and entry.accepted and not entry.cancelled:",
    ),
    Mutant("CANCEL-before-a-hold-ends", "channels.py", " or entry.inbox or entry.holds", " or entry.inbox"),
    Mutant("no-CANCEL-after-a-cut", "channels.py", "(entry.arrived - 1) & WRAP", "entry.arrived"),
    Mutant("a-cut-keeps-its-memory", "channels.py", "        entry.window.extra = 0\n", ""),
    Mutant("cancelled-keeps-its-memory", "channels.py", "        entry.inbox.clear()\n", ""),
    Mutant("STOP-at-END", "streams.py", "        if not entry.arrived:\n", "        if True:\n"),
    Mutant(
        "stream-forgets-early",
        "streams.py",
        "and entry.ended is not None and entry.stopped is not None:",
        "and entry.ended is not None and (entry.stopped is not None or not entry.own):",
    ),
    Mutant(
        "who-takes-serves-nobody",
        "messages.py",
        "        self._line_up(entry)\n        self._mark_due(entry)\n        self._note_all_taken(entry)",
        "        self._mark_due(entry)\n        self._note_all_taken(entry)",
    ),
    Mutant("memory-that-no-receive-waits-for", "messages.py", "and entry.waiting and not entry.inbox\n", "\n"),
    Mutant("window-ignored", "entries.py", "self.sole and self.untaken < self.capacity", "self.sole"),
    Mutant("wanted-without-limit", "entries.py", "self.waiting - len(self.inbox) - (", "self.waiting - ("),
    Mutant("goodbye-is-clean", "machine.py", "told = codes.SESSION_CLOSED if", "told = 0 if"),
    Mutant("a-loss-is-clean", "machine.py", "else codes.DISCONNECTED\n", "else 0\n"),
    Mutant("dropped-ends-are-clean", "channels.py", "= Reason(codes.NOT_DELIVERED)\n", "= Reason(0)\n"),
    Mutant(
        "late-CANCEL-is-an-error",
        "entries.py",
        "return id not in self.open and id != 0 and not self.is_ours(id)",
        "return False",
    ),
    Mutant(
        "budget-of-both-sides", "channels.py", "(self.opened_here if entry.own else", "(self.opened_here if True else"
    ),
    Mutant("headers-cost-nothing", "messages.py", "32 + 16 * attachments + headers +", "32 + 16 * attachments +"),
    Mutant("turns-without-end", "turns.py", "self._allowance(entry.turn) > 0\n", "True\n"),
    Mutant(
        "newcomers-stand-behind", "turns.py", "if entry.turn.round == self.round else self.first)", "if True else [])"
    ),
)


def main() -> None:
    """Plays all of them; fails if one goes unnoticed, or the control is."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        control = pool.submit(_noticed, None)
        results = list(zip(MUTANTS, pool.map(_noticed, MUTANTS), strict=True))
    unnoticed = [mutant.name for mutant, why in results if why is None]
    for mutant, why in results:
        print(f"{mutant.name}: {why or 'NOT NOTICED'}")
    print(f"control: {control.result() or 'plays'}; {len(results) - len(unnoticed)} of {len(results)} mutants noticed")
    if unnoticed or control.result():
        sys.exit(1)


def _noticed(mutant: Mutant | None) -> str | None:
    """How the checker has noticed it; None: it has not."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(
            PORT / "libchan", pathlib.Path(folder) / "libchan", ignore=shutil.ignore_patterns("__pycache__")
        )
        if mutant is not None:
            path = pathlib.Path(folder) / "libchan" / "proto" / mutant.file
            text = path.read_text()
            assert text.count(mutant.old) == 1, f"{mutant.name}: stands {text.count(mutant.old)} times: {mutant.old!r}"
            path.write_text(text.replace(mutant.old, mutant.new))
        environment = {**os.environ, "LIBCHAN_PORT": folder, "PYTHONPATH": str(TOOLS)}
        for part, count in PLAYED:
            command = [sys.executable, "-m", "model", "--only", part, "--seed", "1", "--count", str(count)]
            try:
                done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            except subprocess.TimeoutExpired:
                return f"{part}: stands still"
            if done.returncode:
                return f"{part}: {(done.stderr.strip().splitlines() or ['?'])[-1][:90]}"
    return None
