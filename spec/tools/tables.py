"""Writes the tables of the md files, and of the dissector for Wireshark, from registry.json and states.json:
`python3 spec/tools/tables.py`. With `--check` it writes nothing and says what is not up to date.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`, where NAME is a table of the registry, or `states of NAME`;
in Lua between `-- table: lua` and `-- end`.
"""

import json
import pathlib
import re
import sys

SPEC = pathlib.Path(__file__).resolve().parent.parent


def form(value, how):
    if how == "hex" and isinstance(value, int):
        return f"{value:02x}"
    if how == "grouped" and isinstance(value, int):
        return f"{value:,}"
    return str(value)


def row(cells):
    return "| " + " | ".join(cells) + " |"


def of_registry(table):
    columns = table["columns"]
    lines = [row([column["title"] for column in columns]), "|" + "---|" * len(columns)]
    return lines + [row([form(entry[c["key"]], c["form"]) for c in columns]) for entry in table["rows"]]


def cell(cell):
    if "never" in cell:
        return "-"
    req = ", ".join(cell.get("req", []))
    if "code" in cell:
        return f"**{cell['code']}** ({req})"
    return cell["do"] + (f"; to *{cell['to']}*" if "to" in cell else "") + (f" ({req})" if req else "")


def of_states(table):
    states = table["states"]
    lines = [
        row(["from", "input"] + [f"*{state['name']}*" for state in states]),
        "|" + "---|" * (2 + len(states)),
    ]
    lines += [
        row([entry["from"], entry["input"]] + [cell(one) for one in entry["cells"]])
        for entry in table["rows"]
        if entry.get("shown", True)
    ]
    last = [table["last"]] if "last" in table else []
    means = [f"* *{state['name']}*: {state['means']}" for state in states + last]
    return means + [""] + lines


def lua(value):
    return json.dumps(value, ensure_ascii=False)


def of_lua(registry):
    """The numbers and names as tables of Lua."""
    tables = registry["tables"]

    def by_number(name, table, key, value):
        entries = [f"    [{one[key]}] = {value(one)}," for one in tables[table]["rows"]]
        return [f"  {name} = {{", *entries, "  },"]

    limits = [f"    {one['name']} = {one['default']}," for one in tables["limits"]["rows"]]
    application = next(one["code"] for one in tables["errors"]["rows"] if one["name"] == "APPLICATION")
    lines = [f"  PREFACE = {lua(registry['preface'])},", f"  IGNORABLE = {registry['ignorable']},"]
    lines += [f"  APPLICATION = {application},", "  DEFAULTS = {", *limits, "  },"]
    lines += by_number("TYPES", "frames", "type", lambda one: lua(one["name"]))
    lines += by_number("FLAGS", "message_flags", "flag", lambda one: lua(one["name"]))
    lines += by_number("HEADERS", "headers", "tag", lambda one: lua(one["name"]))
    lines += by_number("KINDS", "attachments", "kind", lambda one: lua(one["gets"]))
    lines += by_number("CODECS", "codecs", "id", lambda one: lua(one["name"]))
    lines += by_number("CODES", "errors", "code", lambda one: lua(one["name"]))
    lines += by_number("HELLO", "hello", "tag", lambda one: lua(one["name"]))
    return lines + by_number("NUMBERS", "hello", "tag", lambda one: lua(one["value"].startswith("u32")))


def tables():
    """The lines of every table, by name."""
    whole = json.loads((SPEC / "registry.json").read_text(encoding="utf-8"))
    registry = whole["tables"]
    states = json.loads((SPEC / "states.json").read_text(encoding="utf-8"))["tables"]
    made = {name: (table["file"], of_registry(table)) for name, table in registry.items()}
    made.update({f"states of {table['name']}": (table["file"], of_states(table)) for table in states})
    made["lua"] = ("wireshark/libchan_registry.lua", of_lua(whole))
    return made


def markers(file, name):
    return (f"<!-- table: {name} -->", "<!-- end -->") if file.endswith(".md") else (f"-- table: {name}", "-- end")


def main():
    check = "--check" in sys.argv[1:]
    stale = []
    for name, (file, lines) in tables().items():
        path = SPEC / file
        text = path.read_text(encoding="utf-8")
        begin, end = map(re.escape, markers(file, name))
        block = re.compile(f"({begin}\n).*?({end})", re.S)
        if not block.search(text):
            sys.exit(f"{file} has no place for the table {name}")
        new = block.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text)
        if new != text:
            stale.append(name)
            if not check:
                path.write_text(new, encoding="utf-8")
    if check and stale:
        sys.exit(f"not up to date, run python3 spec/tools/tables.py: {', '.join(stale)}")
    print(len(stale), "tables", "stale" if check else "written")


if __name__ == "__main__":
    main()
