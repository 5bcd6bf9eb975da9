"""Says which requirements have no vector, and which vectors name none: `python3 spec/tools/coverage.py`. The test `spec`
checks the same, with the reasons in uncovered.json."""

import json
import pathlib
import re

SPEC = pathlib.Path(__file__).resolve().parent.parent


def main():
    known = set()
    for path in sorted(SPEC.glob("**/*.md")):
        known |= set(re.findall(r"^\| ([A-Z]{2}-\d\d) \|", path.read_text(encoding="utf-8"), re.M))
    named = {}
    count = 0
    for path in sorted((SPEC / "vectors").glob("**/*.json")):
        if path.name == "schema.json":
            continue
        for entry in json.loads(path.read_text(encoding="utf-8")):
            count += 1
            for req in entry["req"]:
                named.setdefault(req, []).append(entry["id"])
    path = SPEC / "uncovered.json"
    excused = (
        {entry["req"] for entry in json.loads(path.read_text(encoding="utf-8"))} if path.exists() else set()
    )
    print(f"{count} vectors, {len(known)} requirements, {len(known & set(named))} of them named by vectors")
    print("without a vector or a reason:", " ".join(sorted(known - set(named) - excused)) or "none")
    print(
        "named and unknown:",
        " ".join(f"{req} ({ids[0]})" for req, ids in sorted(named.items()) if req not in known) or "none",
    )
    print("with a reason and a vector:", " ".join(sorted(excused & set(named))) or "none")


if __name__ == "__main__":
    main()
