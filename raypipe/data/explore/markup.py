"""HTML that cannot be broken by what is shown in it: every text is escaped where a tag takes it in."""

from __future__ import annotations

from html import escape
from typing import TypeAlias

MAX_CHARACTERS = 80


class Markup(str):
    """Text that is HTML already; only `tag`, `join` and `verbatim` make it."""

    __slots__ = ()


Child: TypeAlias = str | int | None
_VOID = frozenset({"meta", "input"})
_EMPTY = frozenset({"rect", "path"})
"""Elements of SVG, which are closed in themselves; unlike those of HTML they hold what follows otherwise."""


def tag(name: str, *children: Child, **attributes: Child | bool) -> Markup:
    """Return an element. An `_` at the end of an attribute's name is left out, one within stands for `-`.

    An attribute of None or False is left out, one of True has no value.
    """
    opened = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}"
    if name in _EMPTY:
        return Markup(f"{opened}/>")
    return Markup(f"{opened}>" if name in _VOID else f"{opened}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Return elements and texts one after the other."""
    return Markup("".join(_inner(child) for child in children))


def verbatim(text: str) -> Markup:
    """Return text of this package as HTML: a style, a script."""
    return Markup(text)


def visible(text: str, limit: int = MAX_CHARACTERS) -> str:
    """Return a text of the data as it can be seen: what does not print is spelled out, the long cut."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


def _inner(child: Child) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Markup) else escape(str(child))


def _attribute(key: str, value: Child | bool) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
