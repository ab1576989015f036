"""Kinds of requests, each made from a seed: valid ones, nearly valid ones, and such as no client sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

JSON_TYPE = ("content-type", "application/json")
OPEN = "[" * 50_000
NO_NUMBERS = ("NaN", "-Infinity", "1e999", "-1e999", "9" * 400, "0x1", "01", "1_000", ".5", "+1")
TEXTS = (
    "",
    "\x00",
    "a\r\nset-cookie: b",
    "ü💥",
    "' OR 1=1",
    "%s%n",
    "../../etc/passwd",
    "\u202e",
    "x" * 5_000,
)
BAD_TEXTS = ('"\\ud800"', '"\\udfff\\ud800"', '"\\x"', '"\\u12"', '"\x01"', '"', "'a'")


@dataclass(frozen=True)
class Asked:
    """One request, in so many `chunks` over the wire, or with its length told where that is 0.

    Of one that is `cut` or `slow` only half is sent: the client leaves, or stays and says no more. With `raw`
    just those bytes are sent.
    """

    kind: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    chunks: int = 0
    cut: bool = False
    slow: bool = False
    raw: bytes = b""


@dataclass(frozen=True)
class Target:
    """What an endpoint says of itself, and what it needs: its path, its columns, a row that it answers."""

    name: str
    row: Mapping[str, Any]
    schema: Mapping[str, Any]
    label: Any
    headers: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(document: Mapping[str, Any], headers: tuple[tuple[str, str], ...] = ()) -> Target:
        """Return what the OpenAPI document of an endpoint tells of it."""
        name = next(iter(document["paths"])).split("/")[1]
        schemas = document["components"]["schemas"]
        label = schemas["FeedbackRequest"]["examples"][0]["labels"][0]["label"]
        return Target(name, schemas["Row"]["examples"][0], schemas["Row"], label, headers)

    def post(self, kind: str, body: bytes, route: str = "predict", **more: Any) -> Asked:
        """Return a request that posts a body."""
        return Asked(kind, "POST", f"/{self.name}/{route}", (JSON_TYPE, *self.headers), body, **more)


Make = Callable[[Random, Target], Asked]


def valid(random: Random, target: Target) -> Asked:
    """Rows as the document allows them, with ids of the client's or without."""
    n = random.choice((1, 1, 1, 2, 5, 40))
    body: dict[str, Any] = {"rows": [_row(random, target) for _ in range(n)]}
    if random.random() < 0.5:
        body["ids"] = [_id(random) for _ in range(n)]
    chunks = random.choice((0, 0, 1, 3, 7))
    return target.post("valid", json.dumps(body, ensure_ascii=random.random() < 0.5).encode(), chunks=chunks)


def spoilt_value(random: Random, target: Target) -> Asked:
    """A column with a value that is no JSON, no number, too large, of another type, or not asked for."""
    row = dict(target.row)
    name = random.choice([*row, "no such column", "a\x00b"])
    row[name] = "<here>"
    value = random.choice((*NO_NUMBERS, *BAD_TEXTS, "null", "true", "[]", "{}", "[[1]]", '"1"', "-0", OPEN))
    return target.post("spoilt value", _text({"rows": [row]}).replace('"<here>"', value).encode())


def missing_column(random: Random, target: Target) -> Asked:
    row = dict(target.row)
    row.pop(random.choice([*row]))
    return target.post("missing column", _text({"rows": [row, target.row]}).encode())


def twice_the_key(random: Random, target: Target) -> Asked:
    name = random.choice([*target.row])
    row = _text(target.row)
    again = f"{{{json.dumps(name)}: {random.choice(('1', 'null', '[]', '{}'))}, {row[1:]}"
    body = random.choice((f'{{"rows": [{again}]}}', f'{{"rows": 5, "rows": [{row}]}}'))
    return target.post("twice the key", body.encode())


def another_form(random: Random, target: Target) -> Asked:
    row = _text(target.row)
    bodies = (
        "",
        " ",
        "null",
        "[]",
        "{}",
        "5",
        '"rows"',
        '{"rows": []}',
        '{"rows": {}}',
        f'{{"rows": [[{row}]]}}',
        '{"rows": [[1, 2], [3]]}',
        f'{{"rows": [{row}], "more": 1}}',
        f'{{"rows": [{row}]}} x',
        f'{{"rows": [{row}',
        f'\ufeff{{"rows": [{row}]}}',
        f'{{"rows": {OPEN}',
        f'{{"rows": [{{"a": {OPEN}',
        '{"a":' * 20_000,
        f'{{"rows": [{", ".join(["1"] * 10_001)}]}}',
    )
    return target.post("another form", random.choice(bodies).encode())


def odd_ids(random: Random, target: Target) -> Asked:
    ids = random.choice(
        (
            ["a", "a"],
            ["a"],
            [],
            [1, 2],
            [None, "b"],
            ["", "b"],
            ["x" * 201, "b"],
            "ab",
            {"a": 1},
            ["a", ["b"]],
        )
    )
    return target.post("odd ids", _text({"rows": [target.row] * 2, "ids": ids}).encode())


def damaged(random: Random, target: Target) -> Asked:
    """A valid body in which some bytes were changed, lost or doubled."""
    body = bytearray(_text({"rows": [_row(random, target)], "ids": [_id(random)]}).encode())
    for _ in range(random.randint(1, 8)):
        start = random.randrange(len(body))
        body[start : start + random.randint(0, 3)] = random.randbytes(random.randint(0, 3))
    return target.post("damaged", bytes(body))


def noise(random: Random, target: Target) -> Asked:
    route = random.choice(("predict", "feedback"))
    return target.post("noise", random.randbytes(random.randint(0, 2_000)), route)


def labels(random: Random, target: Target) -> Asked:
    item: dict[str, Any] = {"id": random.choice(("a", *TEXTS)), "label": target.label}
    if random.random() < 0.5:
        item[random.choice(("id", "label", "x"))] = random.choice(
            (None, 1e300, True, [], {}, "x", -1, 10**400)
        )
    text = _text({"labels": [item] * random.randint(0, 3)})
    return target.post(
        "labels", random.choice((text, text, text[:-3], text.replace(":", ": NaN"))).encode(), "feedback"
    )


def releases_without_leave(random: Random, target: Target) -> Asked:
    """What only an operator may ask, with no token or a wrong one."""
    headers = random.choice(
        ((), (("authorization", "Bearer " + "0" * 64),), (("authorization", "Basic eDp5"),))
    )
    route = random.choice(("promote", "rollback"))
    body = _text({"version": "v1", "expected": "v1"}).encode()
    return Asked("no operator", "POST", f"/{target.name}/{route}", (JSON_TYPE, *headers), body)


def other_types(random: Random, target: Target) -> Asked:
    """Another content type, or a body that says it is compressed."""
    body = _text({"rows": [target.row]}).encode()
    header = random.choice(
        (
            ("content-type", "text/plain"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-type", "multipart/form-data; boundary=x"),
            ("content-type", ""),
            ("content-encoding", "gzip"),
        )
    )
    headers = (
        (header, *target.headers) if header[0] == "content-type" else (JSON_TYPE, header, *target.headers)
    )
    return Asked("other type", "POST", f"/{target.name}/predict", headers, body)


def other_paths(random: Random, target: Target) -> Asked:
    routes = (
        "",
        "/",
        "/predict/",
        "/../health",
        "/%2e%2e/status",
        "/docs?x=" + "y" * 3_000,
        "/predict%00",
        "/PREDICT",
    )
    method = random.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"))
    path = f"/{target.name}{random.choice((*routes, '/predict', '/status', '/openapi.json', '/health'))}"
    return Asked("other path or method", method, path, (JSON_TYPE, *target.headers))


def too_large(random: Random, target: Target) -> Asked:
    """A body beyond the bound, in one piece or in chunks that do not say so before."""
    return target.post("too large", b'{"rows": "' + b" " * 1_200_000 + b'"}', chunks=random.choice((0, 9)))


def no_http(random: Random, target: Target) -> Asked:
    """What is no request, or none that may pass: lengths that contradict each other, lines that are none."""
    head = f"POST /{target.name}/predict HTTP/1.1\r\nhost: fuzz\r\ncontent-type: application/json\r\n"
    raw = random.choice(
        (
            "\r\n\r\n\x00\x01\r\n\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/9.9\r\n\r\n",
            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            f"{head}content-length: -1\r\n\r\n",
            f"{head}content-length: 1e3\r\n\r\n",
            f"{head}content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
            f"{head}transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n",
            f"{head}a b: c\r\n\r\n",
            f"{head}content-length: {'9' * 40}\r\n\r\n",
        )
    )
    return Asked("no HTTP", "POST", "", (), raw=raw.encode("latin-1"))


def cut_off(random: Random, target: Target) -> Asked:
    """A client that leaves in the middle of its body; nobody waits for an answer."""
    return target.post(
        "cut off", _text({"rows": [target.row]}).encode(), chunks=random.choice((0, 3)), cut=True
    )


def slow(random: Random, target: Target) -> Asked:
    """A client that stays in the middle of its body."""
    return target.post(
        "slow", _text({"rows": [target.row]}).encode(), chunks=random.choice((0, 3)), slow=True
    )


KINDS: tuple[tuple[Make, int], ...] = (
    (valid, 30),
    (spoilt_value, 15),
    (missing_column, 3),
    (twice_the_key, 4),
    (another_form, 10),
    (odd_ids, 4),
    (damaged, 15),
    (noise, 5),
    (labels, 6),
    (releases_without_leave, 2),
    (other_types, 3),
    (other_paths, 5),
    (too_large, 1),
    (cut_off, 3),
    (no_http, 2),
    (slow, 1),
)
"""Each kind, and how often it comes of about a hundred."""


def requests(random: Random, target: Target, n: int) -> list[Asked]:
    """Return so many requests of all kinds."""
    makes = random.choices([make for make, _ in KINDS], [weight for _, weight in KINDS], k=n)
    return [make(random, target) for make in makes]


def _row(random: Random, target: Target) -> dict[str, Any]:
    """Return a row that the document allows."""
    row = dict(target.row)
    for name in random.sample([*row], k=random.randint(0, len(row))):
        row[name] = _value(random, target.schema["properties"][name], row[name])
    return row


def _value(random: Random, column: Mapping[str, Any], known: Any) -> Any:
    kinds = column.get("type", "string")
    if isinstance(kinds, list) and random.random() < 0.2:
        return None
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "number":
        return random.choice(
            (0, -0.0, 1e300, -1e300, 5e-324, random.uniform(-1e6, 1e6), random.randint(-99, 99))
        )
    if kind == "integer":
        return random.choice((2**63 - 1, -(2**63), 0, 3.0, random.randint(-99, 99)))
    if kind == "boolean":
        return random.random() < 0.5
    return known if "format" in column else random.choice(TEXTS)


def _id(random: Random) -> str:
    return random.choice(TEXTS[1:-1]) + str(random.getrandbits(64))


def _text(body: object) -> str:
    return json.dumps(body)
