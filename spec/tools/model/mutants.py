"""Do the checker and the vectors notice broken rules? One is broken at a time, in a copy of the port; the control breaks
none."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import PORT

TOOLS = pathlib.Path(__file__).resolve().parents[1]
#: What each copy plays: parts and how many. The seeds are always the same ones.
PLAYED = (("worlds", 40), ("cuts", 1), ("hostile", 20), ("fair", 4))


#: The conversations and rejects of the specification, played by the port's tests from their own folder.
VECTORS = ("-m", "unittest", "-f", "test_vectors.Vectors.test_sessions", "test_vectors.Vectors.test_reject")


@dataclass(frozen=True)
class Mutant:
    """``old`` stands once in the file, and becomes ``new``."""

    name: str
    file: str
    old: str
    new: str
    #: A port that has it would speak with itself all the same: it is for the vectors to notice.
    by_vectors: bool = False


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
    Mutant("wanted-without-limit", "entries.py", "self.waiting - here - (", "self.waiting - ("),
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
    # What one who ported the text alone could have written, and no vector showed.
    Mutant("incomplete-is-asked-for-again", "entries.py", " + (self.partial is not None)", "", True),
    Mutant(
        "served-and-asked-again-is-not-announced",
        "messages.py",
        "entry.want_increment() if entry.serves_demand() else 0",
        "entry.want_increment() if entry.serves_demand() and not entry.owed else 0",
        True,
    ),
    Mutant("demand-alone-at-the-receiver", "messages.py", "if entry.room_left() == 0 and not", "if (entry.room_left() == 0 or entry.on_demand) and not", True),
    Mutant(
        "clean-goodbye-before-the-hello",
        "machine.py",
        "reason if reason.code else Reason(codes.UNAVAILABLE, reason.text)",
        "reason",
        True,
    ),
    Mutant(
        "goes-on-after-a-goodbye-before-the-hello",
        "machine.py",
        '            self._fail(SessionOver(SessionOver.CLOSED, "the session was left before it began"))\n',
        "",
        True,
    ),
    Mutant(
        "leaving-before-the-goodbye-is-said",
        "machine.py",
        "self._control(frames.Pong(ping.number))",
        "self.goodbye_said or self._control(frames.Pong(ping.number))",
        True,
    ),
    Mutant(
        "a-late-refusal-says-its-code",
        "channels.py",
        "        elif entry.closed:\n            self._answer_close(entry)\n        else:\n",
        "        else:\n",
        True,
    ),
    Mutant(
        "a-hold-outlives-CANCEL",
        "channels.py",
        "        if entry.cancelled:\n            self._drop(entry)\n            return\n        entry.close_scope",
        "        if entry.cancelled and not entry.holds:\n            self._drop(entry)\n            return\n"
        "        entry.close_scope",
        True,
    ),
    Mutant("halves-are-rounded-up", "credit.py", "owed >= self.size // 2 or", "owed >= (self.size + 1) // 2 or", True),
    Mutant(
        "small-is-rounded-up",
        "messages.py",
        "self.limits.initial_window // 2 else",
        "(self.limits.initial_window + 1) // 2 else",
        True,
    ),
    Mutant(
        "several-frames-wait",
        "messages.py",
        '            return "bytes"\n',
        '            return "bytes"\n        if cost > self.limits.max_frame < entry.credit:\n            return "bytes"\n',
        True,
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
        environment = {**os.environ, "LIBCHAN_PORT": folder, "PYTHONPATH": os.pathsep.join([str(TOOLS), folder])}
        if mutant is None or mutant.by_vectors:
            why = _played("vectors", list(VECTORS), environment, PORT / "tests")
            if why or mutant is not None:
                return why
        for part, count in PLAYED:
            command = ["-m", "model", "--only", part, "--seed", "1", "--count", str(count)]
            if why := _played(part, command, environment):
                return why
    return None


def _played(part: str, command: list[str], environment: dict[str, str], cwd: pathlib.Path | None = None) -> str | None:
    """How it failed; None: it did not."""
    # Seconds of its own work, however busy the machine is.
    limited = ["sh", "-c", 'ulimit -t 120; exec "$@"', "sh", sys.executable, *command]
    done = subprocess.run(limited, env=environment, cwd=cwd, capture_output=True, text=True)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"{part}: stands still"
    if not done.returncode:
        return None
    lines = done.stderr.strip().splitlines() or ["?"]
    # Of a vector its id, which the first line of the failure ends with.
    failed = [line.split("[")[-1].rstrip("]") for line in lines if line.startswith(("FAIL: ", "ERROR: "))]
    return f"{part}: {(failed or lines[-1:])[0][:90]}"
