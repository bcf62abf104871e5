"""What somebody else's hand, a bug or another release may leave under a key of the store."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

NUMBERS: Final = (
    *("", "-", "-0", "-1", "0", "1", "01", "+1", " 1", "0x10", "1e3", "1e400", "1.5", "nan"),
    *("inf", "-inf", "-nan", "9" * 15, "9" * 16, "-" + "9" * 16, "9" * 19, "9" * 400),
    *("9" * 5000, "-" + "9" * 5000, "٣", "1\n", str(2**52), str(2**53), str(2**63)),
)
"""Numbers that are none, or that no clock and no counter of ours reaches."""

TEXTS: Final = (
    *("", "|", "1|", "1", "junk", "1|" + "|" * 12, "1|" + "|" * 5000, "{}", "[]", "null"),
    *("\x00", "a\nb", "\x1b[31m", "\u202e", "{x.__class__}", "%s%n", "🦄" * 100, "x" * 10_000),
)
BYTES: Final = (b"\xff\xfe", b"1|\xc3\x28|1", b"\xed\xa0\x80", b"\x80" * 3)

WRONG_KINDS: Final = ("string", "list", "hash", "zset", "set", "stream")

numbers = st.sampled_from(NUMBERS)
scores = st.sampled_from((float("inf"), float("-inf"), -1.0, 0.0, 0.5, 1e15, 1e18, 1e300, -1e300))
texts = st.sampled_from(TEXTS) | st.text(max_size=40)
raw = texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.sampled_from(BYTES)


@st.composite
def spoilt(draw: st.DrawFn, record: bytes) -> bytes:
    """A record of ours that was cut, of another release, or with another field in it."""
    match draw(st.sampled_from(("field", "field", "field", "cut", "version", "more", "other"))):
        case "cut":
            return record[: draw(st.integers(0, max(len(record) - 1, 0)))]
        case "version":
            return b"2" + record[1:]
        case "more":
            return record + draw(raw)
        case "field":
            fields = record.split(b"|")
            at = draw(st.integers(0, len(fields) - 1))
            fields[at] = draw(numbers.map(str.encode) | raw)
            return b"|".join(fields)
        case _:
            return draw(raw | numbers.map(str.encode))


def put_wrong_kind(client: Any, key: bytes, kind: str) -> None:
    """Put something else under a key."""
    client.delete(key)
    match kind:
        case "string":
            client.set(key, "foreign")
        case "list":
            client.rpush(key, "foreign")
        case "hash":
            client.hset(key, "foreign", "1")
        case "zset":
            client.zadd(key, {"foreign": 1})
        case "set":
            client.sadd(key, "foreign")
        case _:
            client.xadd(key, {"foreign": "1"})


@st.composite
def injury(draw: st.DrawFn, client: Any, key: bytes) -> str:
    """Injure what is under a key in place; say how."""
    kind = client.type(key).decode()
    if kind == "string":
        spoils = draw(spoilt(client.get(key)))
        client.set(key, spoils)
        return f"{key!r} = {spoils[:90]!r}"
    if kind == "hash":
        fields = sorted(client.hkeys(key))
        name = draw(st.sampled_from(fields) | raw)
        spoils = draw(spoilt(client.hget(key, name) or b"1|1"))
        client.hset(key, name, spoils)
        return f"{key!r}[{name[:40]!r}] = {spoils[:90]!r}"
    if kind == "zset":
        name = draw(st.sampled_from(sorted(client.zrange(key, 0, -1))) | raw)
        score = draw(scores)
        client.zadd(key, {name: score})
        return f"{key!r}[{name[:40]!r}] = {score}"
    client.xadd(key, {draw(raw): draw(raw)})
    return f"{key!r} += …"
