"""Writes the test vectors: `python3 spec/tools/vectors`. With `--check` it writes nothing and says what is not up to
date. Python 3.9 or later, standard library only; the files are committed, so nobody needs this to use them.
"""

import json
import os
import pathlib
import sys

import carriers
import channels
import credit
import errors
import frames
import iris
import limits
import nested
import rejects
import session
import streams
import values

HERE = pathlib.Path(__file__).resolve().parent
SPEC = HERE.parent.parent
VECTORS = SPEC / "vectors"


def one_line(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def render(entries):
    """An entry a line; the steps of a conversation a line each."""
    lines = []
    for entry in entries:
        steps = entry.get("steps")
        if steps is None:
            lines.append(one_line(entry))
            continue
        head = one_line({key: value for key, value in entry.items() if key != "steps"})
        body = ",\n".join("   " + one_line(step) for step in steps)
        lines.append(f'{head[:-1]},"steps":[\n{body}]}}')
    return "[\n" + ",\n".join(lines) + "\n]\n"


def files():
    """Every file under spec/vectors that is made here, by its path."""
    sessions = {
        "session": session,
        "channels": channels,
        "nested": nested,
        "credit": credit,
        "streams": streams,
        "errors": errors,
        "limits": limits,
    }
    made = {"frames.json": frames.entries(), "reject.json": rejects.entries()}
    made["carriers.json"] = carriers.entries()
    made["iris.json"] = iris.entries()
    made.update(values.files())
    made.update({f"sessions/{name}.json": module.entries() for name, module in sessions.items()})
    return {name: render(entries) for name, entries in made.items()}


def write(path, text):
    """Whole or not at all: others may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def main():
    stale = []
    for name, text in files().items():
        path = VECTORS / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv[1:]:
            write(path, text)
    if "--check" in sys.argv[1:] and stale:
        sys.exit(f"not up to date, run python3 spec/tools/vectors: {', '.join(stale)}")
    ids = [entry["id"] for text in files().values() for entry in json.loads(text)]
    print(len(ids), "vectors;", len(stale), "files", "stale" if "--check" in sys.argv[1:] else "written")
    assert len(ids) == len(set(ids)), "an id twice"


if __name__ == "__main__":
    main()
