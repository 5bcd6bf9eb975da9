"""values.CODEC.json: values and all of their encodings. Written out by hand: the point is what a decoder meets, not what
an encoder of ours would write. Floats that are whole are left out, because not every language tells 1.0 from 1.
"""


class Values:
    def __init__(self, codec, req):
        self.codec = codec
        self.req = req
        self.entries = []

    def _add(self, why, encodings, req, attachments, mode=None, **result):
        number = len(self.entries) + 1
        attached = attachments or any(one in why for one in ("attachment",))
        entry = {
            "id": f"co.{self.codec}.{number:03}",
            "req": req.split() if req else [self.req],
            "level": 1 if attached else 0,
            "why": why,
            **result,
            "encodings": [text.replace(" ", "") for text in encodings],
            "attachments": attachments,
        }
        if mode:
            entry["mode"] = mode
        self.entries.append(entry)

    def add(self, why, value, *encodings, req=None, attachments=0, mode=None):
        """An encoder may write any of them."""
        self._add(why, encodings, req, attachments, mode, value=value)

    def bad(self, why, *encodings, req=None, attachments=0):
        self._add(why, encodings, req, attachments, error="DECODE")


def big(n):
    return {"int": str(n)}


def text(value):
    return value.encode().hex()


NAN, INF, MINUS = {"float": "nan"}, {"float": "inf"}, {"float": "-inf"}


def att(i):
    return {"attachment": i}


def map_(*pairs):
    return {"map": [list(pair) for pair in pairs]}


def msgpack():
    v = Values("msgpack", "MP-01")
    v.add("nothing", None, "c0")
    v.add("true", True, "c3")
    v.add("false", False, "c2")
    v.add(
        "0 in every width, signed and not",
        0,
        "00",
        "cc00",
        "cd0000",
        "ce00000000",
        "cf0000000000000000",
        "d000",
        "d10000",
        "d200000000",
        "d30000000000000000",
    )
    v.add(
        "42 in every width",
        42,
        "2a",
        "cc2a",
        "cd002a",
        "ce0000002a",
        "cf000000000000002a",
        "d02a",
        "d1002a",
        "d20000002a",
        "d3000000000000002a",
    )
    v.add("the highest of one byte", 127, "7f", "cc7f", "d07f")
    v.add("128", 128, "cc80", "cd0080", "d10080", "ce00000080", "d200000080")
    v.add("255", 255, "ccff", "cd00ff", "d100ff")
    v.add("256", 256, "cd0100", "d10100", "ce00000100")
    v.add("65,535", 65535, "cdffff", "ce0000ffff", "d20000ffff")
    v.add("65,536", 65536, "ce00010000", "d200010000", "cf0000000000010000")
    v.add("2^32 - 1", 4294967295, "ceffffffff", "cf00000000ffffffff", "d300000000ffffffff")
    v.add("2^32", 4294967296, "cf0000000100000000", "d30000000100000000")
    v.add("2^53 - 1", 9007199254740991, "cf001fffffffffffff", "d3001fffffffffffff")
    v.add("2^53 + 1, which a double has not", big(2**53 + 1), "cf0020000000000001", "d30020000000000001")
    v.add("2^63 - 1", big(2**63 - 1), "cf7fffffffffffffff", "d37fffffffffffffff")
    v.add("2^64 - 1", big(2**64 - 1), "cfffffffffffffffff")
    v.add("-1", -1, "ff", "d0ff", "d1ffff", "d2ffffffff", "d3ffffffffffffffff")
    v.add("-32, the lowest of one byte", -32, "e0", "d0e0", "d1ffe0")
    v.add("-33", -33, "d0df", "d1ffdf")
    v.add("-129", -129, "d1ff7f", "d2ffffff7f")
    v.add("-32,769", -32769, "d2ffff7fff", "d3ffffffffffff7fff")
    v.add("-2^31 - 1", -2147483649, "d3ffffffff7fffffff")
    v.add("-2^63", big(-(2**63)), "d38000000000000000")
    v.add("1.5 as double and single", {"float": 1.5}, "cb3ff8000000000000", "ca3fc00000")
    v.add("0.1", {"float": 0.1}, "cb3fb999999999999a")
    v.add("not a number", NAN, "cb7ff8000000000000", "ca7fc00000")
    v.add("infinity", INF, "cb7ff0000000000000", "ca7f800000")
    v.add("minus infinity", MINUS, "cbfff0000000000000", "caff800000")
    v.add("the empty text in every width", "", "a0", "d900", "da0000", "db00000000")
    v.add("a text", "größe", "a7 67 72 c3b6 c39f 65", "d907 67 72 c3b6 c39f 65", "da0007 67 72 c3b6 c39f 65")
    v.add("a text of 31 bytes", "x" * 31, "bf" + "78" * 31, "d91f" + "78" * 31)
    v.add("a text of 32 bytes", "x" * 32, "d920" + "78" * 32, "da0020" + "78" * 32)
    v.add("a text of 256 bytes", "x" * 256, "da0100" + "78" * 256, "db00000100" + "78" * 256)
    v.add("no bytes", {"bytes": ""}, "c400", "c50000", "c600000000")
    v.add("bytes that are no text", {"bytes": "00ff80"}, "c403 00ff80", "c50003 00ff80", "c600000003 00ff80")
    v.add("the empty list", [], "90", "dc0000", "dd00000000")
    v.add("lists in lists", [1, [2, []], None], "93 01 92 02 90 c0", "dc0003 01 dc0002 02 dc0000 c0")
    v.add("a list of sixteen", [0] * 16, "dc0010" + "00" * 16, "dd00000010" + "00" * 16)
    v.add("the empty map", map_(), "80", "de0000", "df00000000", req="MP-02")
    v.add(
        "a map, in its order",
        map_(["b", 1], ["a", 2]),
        "82 a162 01 a161 02",
        "de0002 a162 01 a161 02",
        req="MP-02",
    )
    v.add("keys that are no text", map_([1, True], [-1, False]), "82 01c3 ffc2")
    v.add("an attachment", att(0), "d40100", req="AT-20 MP-03", attachments=1)
    v.add(
        "the highest index of a table of 253", att(252), "d401fc", req="AT-20", attachments=253, mode="decode"
    )
    v.add(
        "attachments in a map, as in 2-frames.md",
        map_(["a", att(0)], ["b", att(1)]),
        "82 a161 d40100 a162 d40101",
        req="AT-20 MP-03",
        attachments=2,
    )
    v.add(
        "attachments in lists, out of order and one twice",
        [att(1), [att(0)], att(1)],
        "93 d40101 91 d40100 d40101",
        req="AT-09 AT-20",
        attachments=2,
        mode="decode",
    )
    v.bad("an index behind the table", "d40101", req="AT-13", attachments=1)
    v.bad("an index, and no table", "d40100", "81 a161 d40100", req="AT-13")
    v.bad("nothing at all", "")
    v.bad("bytes left over", "c0c0", "2a00", "9000", req="LI-05")
    v.bad(
        "cut in the middle",
        "cc",
        "cd00",
        "cf00000000000000",
        "a161"[:2],
        "c403 00ff",
        "92 01",
        "81 a161",
        "d401",
    )
    v.bad("a type that MessagePack never uses", "c1")
    v.bad(
        "lengths far beyond the payload",
        "dbffffffff",
        "c6ffffffff",
        "ddffffffff",
        "dfffffffff",
        "ddffffffff 01",
        req="MP-04 LI-03",
    )
    v.bad("nested too deep", "91" * 200 + "c0", "81a161" * 200 + "c0", req="LI-04")
    v.add("nested a hundred deep", nest(100), "91" * 100 + "c0", req="LI-04", mode="decode")
    return v.entries


def nest(n):
    value = None
    for _ in range(n):
        value = [value]
    return value


def json_():
    v = Values("json", "JS-01")
    t = lambda *texts: [text(one) for one in texts]
    data = "JS-02"
    v.add("null", None, *t("null", " null\n"), req="LI-05")
    v.add("true", True, *t("true"), req="CH-12")
    v.add("false", False, *t("false"), req="CH-12")
    v.add("0", 0, *t("0"), req="CH-12")
    v.add("42, with space around", 42, *t("42", "\t42 \r\n"), req="CH-12")
    v.add("-1", -1, *t("-1"), req="CH-12")
    v.add("2^32", 4294967296, *t("4294967296"), req="CH-12")
    v.add("2^53 - 1", 9007199254740991, *t("9007199254740991"), req="CH-12")
    v.add("-2^53 + 1", -9007199254740991, *t("-9007199254740991"), req="CH-12")
    v.add(
        "1.5, written in several ways",
        {"float": 1.5},
        *t("1.5", "1.50", "15e-1", "0.15E+1", "1.5e0"),
        req="CH-12",
    )
    v.add("-0.25", {"float": -0.25}, *t("-0.25", "-25e-2"), req="CH-12")
    v.add("the empty text", "", *t('""'), req="FR-06")
    v.add("a text, plain and escaped", "größe", *t('"größe"', '"gr\\u00f6\\u00DFe"'), req="FR-06")
    v.add(
        "what must be escaped",
        '"\\\b\f\n\r\t\u0001/',
        *t(
            '"\\"\\\\\\b\\f\\n\\r\\t\\u0001/"',
            '"\\u0022\\u005c\\u0008\\u000c\\u000a\\u000d\\u0009\\u0001\\/"',
        ),
        req="FR-06",
    )
    v.add("a character beyond 16 bits", "😀", *t('"😀"', '"\\ud83d\\ude00"'), req="FR-06")
    v.add("a text with NUL", "a\0b", *t('"a\\u0000b"'), req="FR-06")
    v.add("the empty list", [], *t("[]", "[ ]"), req="CH-12")
    v.add("lists in lists", [1, [2, []], None], *t("[1,[2,[]],null]", "[ 1 , [2,[ ]],\nnull ]"), req="CH-12")
    v.add("bytes are a list of numbers", [0, 255, 128], *t("[0,255,128]"), req="CH-12")
    v.add("the empty map", map_(), *t("{}", "{ }"), req=data)
    v.add(
        "a map, in its order", map_(["b", 1], ["a", 2]), *t('{"b":1,"a":2}', '{ "b" : 1, "a" : 2 }'), req=data
    )
    v.add("an empty key", map_(["", map_(["x", []])]), *t('{"":{"x":[]}}'), req=data)
    v.add(
        "an attachment",
        att(0),
        *t('{"$libchan":0}', ' { "$libchan" : 0 } '),
        req="JS-01 AT-20",
        attachments=1,
    )
    v.add(
        "an attachment whose key is escaped",
        att(0),
        *t('{"$libchan":0}', '{"\\u0024libchan":0}'),
        req="JS-01",
        attachments=1,
    )
    v.add(
        "attachments in a map, as in codecs/json.md",
        map_(["a", att(0)], ["b", att(1)]),
        *t('{"a":{"$libchan":0},"b":{"$libchan":1}}'),
        req="JS-01 AT-20",
        attachments=2,
    )
    v.add(
        "attachments in lists, out of order and one twice",
        [att(1), [att(0)], att(1)],
        *t('[{"$libchan":1},[{"$libchan":0}],{"$libchan":1}]'),
        req="JS-01 AT-09",
        attachments=2,
        mode="decode",
    )
    v.add(
        "the highest index of a table of 253",
        att(252),
        *t('{"$libchan":252}'),
        req="JS-01",
        attachments=253,
        mode="decode",
    )
    v.add(
        "no index of the table: data",
        map_(["$libchan", 1]),
        *t('{"$libchan":1}'),
        req="JS-02",
        attachments=1,
        mode="decode",
    )
    v.add("no table: data", map_(["$libchan", 0]), *t('{"$libchan":0}'), req="JS-02", mode="decode")
    v.add(
        "a second key: data",
        map_(["$libchan", 0], ["x", 1]),
        *t('{"$libchan":0,"x":1}'),
        req="JS-02 JS-01",
        attachments=1,
        mode="decode",
    )
    v.add(
        "no number: data",
        map_(["$libchan", "0"]),
        *t('{"$libchan":"0"}'),
        req="JS-02 JS-01",
        attachments=1,
        mode="decode",
    )
    v.add(
        "a negative number: data",
        map_(["$libchan", -1]),
        *t('{"$libchan":-1}'),
        req="JS-02 JS-01",
        attachments=1,
        mode="decode",
    )
    v.add(
        "another key: data",
        map_(["$libChan", 0]),
        *t('{"$libChan":0}'),
        req="JS-02",
        attachments=1,
        mode="decode",
    )
    v.bad("nothing at all", "", text(" "), req="CH-12")
    v.bad("something left over", *t("null null", "1 2", "{}}", "[],"), req="LI-05")
    v.bad("cut in the middle", *t("[1,", '{"a":', '"ab', "tru", "-", "1.", "1e"), req="CH-12")
    v.bad(
        "no JSON",
        *t("'a'", "[1,]", '{"a":1,}', "{a:1}", "01", ".5", "+1", "undefined", "// x\n1"),
        req="CH-12",
    )
    v.bad("not a number, and infinity, have no form", *t("NaN", "Infinity", "-Infinity"), req="CH-12")
    v.bad("a byte order mark", "efbbbf" + text("null"), req="CH-12")
    v.bad("a text that is not UTF-8", "22ff22", "22c32822", req="FR-06")
    v.bad("a control character that is not escaped", "220a22", "220022", req="CH-12")
    v.bad("nested too deep", text("[" * 200 + "]" * 200), text('{"a":' * 200 + "1" + "}" * 200), req="LI-04")
    v.add(
        "nested a hundred deep", nest(100), text("[" * 100 + "null" + "]" * 100), req="LI-04", mode="decode"
    )
    return v.entries


def cbor():
    v = Values("cbor", "CB-02")
    key = "68 24 6c 69 62 63 68 61 6e"
    v.add("nothing", None, "f6")
    v.add("true", True, "f5")
    v.add("false", False, "f4")
    v.add("0 in every width", 0, "00", "1800", "190000", "1a00000000", "1b0000000000000000")
    v.add("23, the highest of one byte", 23, "17", "1817", "190017")
    v.add("24", 24, "1818", "190018", "1a00000018")
    v.add("42 in every width", 42, "182a", "19002a", "1a0000002a", "1b000000000000002a")
    v.add("256", 256, "190100", "1a00000100")
    v.add("65,536", 65536, "1a00010000", "1b0000000000010000")
    v.add("2^32", 4294967296, "1b0000000100000000")
    v.add("2^53 - 1", 9007199254740991, "1b001fffffffffffff")
    v.add("2^53 + 1, which a double has not", big(2**53 + 1), "1b0020000000000001")
    v.add("2^64 - 1", big(2**64 - 1), "1bffffffffffffffff")
    v.add("-1 in every width", -1, "20", "3800", "390000", "3a00000000", "3b0000000000000000")
    v.add("-24", -24, "37", "3817")
    v.add("-25", -25, "3818", "390018")
    v.add("-257", -257, "390100", "3a00000100")
    v.add("-2^32 - 1", -4294967297, "3b0000000100000000")
    v.add("-2^63", big(-(2**63)), "3b7fffffffffffffff")
    v.add("1.5 as half, single and double", {"float": 1.5}, "f93e00", "fa3fc00000", "fb3ff8000000000000")
    v.add("0.1", {"float": 0.1}, "fb3fb999999999999a")
    v.add("a half below the normal ones", {"float": 2**-15}, "f90200", "fa38000000", "fb3f00000000000000")
    v.add("not a number", NAN, "f97e00", "fa7fc00000", "fb7ff8000000000000")
    v.add("infinity", INF, "f97c00", "fa7f800000", "fb7ff0000000000000")
    v.add("minus infinity", MINUS, "f9fc00", "faff800000", "fbfff0000000000000")
    v.add("the empty text", "", "60", "7800", "7fff", req="CB-01")
    v.add(
        "a text, in one and in pieces",
        "größe",
        "67 67 72 c3b6 c39f 65",
        "7807 67 72 c3b6 c39f 65",
        "7f 62 67 72 64 c3b6 c39f 61 65 ff",
        req="CB-01",
    )
    v.add("a text of 24 bytes", "x" * 24, "7818" + "78" * 24, "790018" + "78" * 24, req="CB-01")
    v.add("no bytes", {"bytes": ""}, "40", "5800", "5fff", req="CB-01")
    v.add(
        "bytes, in one and in pieces",
        {"bytes": "00ff80"},
        "43 00ff80",
        "5803 00ff80",
        "5f 42 00ff 41 80 ff",
        "5f 40 43 00ff80 ff",
        req="CB-01",
    )
    v.add("the empty list", [], "80", "9800", "9fff", req="CB-01")
    v.add(
        "lists in lists",
        [1, [2, []], None],
        "83 01 82 02 80 f6",
        "9f 01 9f 02 9f ff ff f6 ff",
        "83 01 9f 02 80 ff f6",
        req="CB-01",
    )
    v.add("a list of 24", [0] * 24, "9818" + "00" * 24, "9f" + "00" * 24 + "ff", req="CB-01")
    v.add("the empty map", map_(), "a0", "b800", "bfff", req="CB-01")
    v.add(
        "a map, in its order",
        map_(["b", 1], ["a", 2]),
        "a2 6162 01 6161 02",
        "bf 6162 01 6161 02 ff",
        req="CB-01",
    )
    v.add(
        "an attachment",
        att(0),
        f"a1 {key} 00",
        f"bf {key} 00 ff",
        f"a1 {key} 1800",
        req="AT-20 CB-01",
        attachments=1,
    )
    v.add(
        "attachments in a map, as in codecs/cbor.md",
        map_(["a", att(0)], ["b", att(1)]),
        f"a2 6161 a1 {key} 00 6162 a1 {key} 01",
        req="AT-20",
        attachments=2,
    )
    v.add(
        "attachments in lists, out of order and one twice",
        [att(1), [att(0)], att(1)],
        f"83 a1 {key} 01 81 a1 {key} 00 a1 {key} 01",
        req="AT-09 AT-20",
        attachments=2,
        mode="decode",
    )
    v.add(
        "the highest index of a table of 253",
        att(252),
        f"a1 {key} 18fc",
        req="AT-20",
        attachments=253,
        mode="decode",
    )
    v.add(
        "no index of the table: data",
        map_(["$libchan", 1]),
        f"a1 {key} 01",
        req="AT-20",
        attachments=1,
        mode="decode",
    )
    v.add(
        "a second key: data",
        map_(["$libchan", 0], ["x", 1]),
        f"a2 {key} 00 6178 01",
        req="AT-20",
        attachments=1,
        mode="decode",
    )
    v.bad("nothing at all", "")
    v.bad("bytes left over", "f6f6", "0000", "8000", req="LI-05")
    v.bad(
        "cut in the middle",
        "18",
        "19 00",
        "1b00000000000000",
        "62 61",
        "43 00ff",
        "82 01",
        "a1 6161",
        "9f 01",
        "bf 6161 01",
        "7f 6161",
    )
    v.bad("lengths that are reserved", "1c", "5d", "7e", "9c", "fc")
    v.bad("a break without a beginning", "ff", "81ff")
    v.bad("a text that is not UTF-8", "61ff", "62c328")
    v.bad(
        "lengths far beyond the payload",
        "5bffffffffffffffff",
        "7bffffffffffffffff",
        "9bffffffffffffffff",
        "bbffffffffffffffff",
        "9affffffff 01",
        req="LI-03",
    )
    v.bad("nested too deep", "81" * 200 + "f6", "9f" * 200 + "ff" * 200, "a16161" * 200 + "f6", req="LI-04")
    v.add(
        "nested a hundred deep",
        nest(100),
        "81" * 100 + "f6",
        "9f" * 100 + "f6" + "ff" * 100,
        req="LI-04",
        mode="decode",
    )
    return v.entries


def raw():
    v = Values("raw", "RA-01")
    for why, data in (
        ("no bytes", ""),
        ("one byte", "00"),
        ("bytes that are no text", "00ff80c328"),
        ("a text is its bytes", "6772c3b6c39f65"),
        ("what would be a placeholder elsewhere is bytes", "d40100"),
        ("nothing is left over: every byte counts", "c0c0c0c0"),
    ):
        v.add(why, {"bytes": data}, data)
    return v.entries


def files():
    """(file name, entries)"""
    for name, make in (("msgpack", msgpack), ("json", json_), ("cbor", cbor), ("raw", raw)):
        yield f"values.{name}.json", make()
