"""YAML as config files use it: small, no aliases, no key twice, environment variables by name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TypeAlias

import yaml

from raypipe.core.errors import ConfigError

MAX_CONFIG_BYTES = 1_000_000

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


class _Loader(yaml.SafeLoader):
    """A safe loader without aliases (271 bytes of them can expand to millions of nodes) or repeated keys."""

    def fetch_alias(self) -> None:
        raise ConfigError(f"line {self.line + 1}: YAML aliases (*name) are not allowed; write the value out.")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ConfigError(f"line {key_node.start_mark.line + 1}: keys must be text. Got {key!r}.")
            if key in seen:
                raise ConfigError(f"line {key_node.start_mark.line + 1}: the key {key!r} stands twice.")
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, environment: Mapping[str, str] = os.environ) -> Plain:
    """Parse one YAML document; `${NAME}` and `${NAME:-default}` in its texts become environment variables.

    Raises ConfigError for YAML that cannot be read, aliases, a key that stands twice, an unset variable.
    """
    if len(text) > MAX_CONFIG_BYTES:
        raise ConfigError(f"a config must be <= {MAX_CONFIG_BYTES:,} bytes. Got {len(text):,}.")
    try:
        document = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{where}this is no valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"this is no valid YAML: {error}.") from error
    return _with_variables(document, environment)


def with_variables(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return a text with `${NAME}` and `${NAME:-default}` taken from the environment; raises ConfigError."""
    return _VARIABLE.sub(lambda match: _variable(match, environment), text)


def _with_variables(value: Plain, environment: Mapping[str, str]) -> Plain:
    if isinstance(value, dict):
        return {key: _with_variables(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_variables(item, environment) for item in value]
    if isinstance(value, str):
        return with_variables(value, environment)
    return value


def _variable(match: re.Match[str], environment: Mapping[str, str]) -> str:
    name, default = match["name"], match["default"]
    found = environment.get(name) or default
    if found is None:
        raise ConfigError(
            f"the environment variable {name} is not set; set it, as in `export {name}=...`, "
            f"or give it a default, as in ${{{name}:-default}}."
        )
    return found
