"""From a file to a typed config, or one sentence that says what is wrong in it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from raypipe.config.settings import Config
from raypipe.config.yaml_text import Plain, parse_yaml
from raypipe.core.errors import ConfigError
from raypipe.training.config import TrainingSettings

_WHOLE = "the config"
_BRANCH = re.compile(r"^(constrained-|literal\[|tuple\[|dict\[|[A-Z]\w*Settings$|str$|int$|float$|bool$)")


def load_config(path: str | Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a YAML config; relative paths in it start at its folder.

    Raises ConfigError, whose text names the file, the key, the rule and the value.
    """
    file = Path(path)
    try:
        document = parse_yaml(_read(file), environment)
        return parse_config(document, file.resolve().parent)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error.__cause__


def parse_config(document: Plain, folder: Path) -> Config:
    """Check a parsed document; relative paths in it start at `folder`. Raises ConfigError."""
    if not isinstance(document, dict):
        raise ConfigError(f"a config is a mapping of keys to values. Got {type(document).__name__}.")
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_sentences(error.errors())) from error
    return resolve_paths(config, folder)


def to_yaml(config: Config) -> str:
    """Return a config as a YAML file that is read back to an equal one; defaults are left out."""
    document = config.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def resolve_paths(config: Config, folder: Path) -> Config:
    """Make the config's local paths absolute, starting at `folder`."""
    sources = tuple(source.moved(partial(_absolute, folder=folder)) for source in config.data.sources)
    data = config.data.model_copy(update={"sources": sources})
    token = config.serving.token_file
    serving = config.serving.model_copy(update={"token_file": token and _absolute(token, folder)})
    home = _absolute(config.home, folder)
    training = _with_code(config.training, folder)
    return config.model_copy(update={"home": home, "data": data, "serving": serving, "training": training})


def _with_code(training: TrainingSettings, folder: Path) -> TrainingSettings:
    """Say where modules of the config's own models lie; nothing where it has none."""
    if not training.models:
        return training
    return training.model_copy(update={"code": _absolute(training.code or ".", folder)})


def _absolute(path: str, folder: Path) -> str:
    return path if "://" in path else os.path.normpath(folder / Path(path).expanduser())


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("no such file; `raypipe init DIR` writes a config to start from.") from None
    except IsADirectoryError:
        raise ConfigError("this is a folder; name the YAML file in it.") from None
    except UnicodeDecodeError:
        raise ConfigError("a config must be UTF-8 text.") from None
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}.") from error


def _sentences(errors: list[ErrorDetails]) -> str:
    """One sentence for each place, whatever number of alternatives was tried there."""
    places: dict[str, list[ErrorDetails]] = {}
    for error in errors:
        places.setdefault(_location(error["loc"]), []).append(error)
    return " ".join(
        _sentence(where, found)
        for where, found in places.items()
        if not any(_explained_below(error, errors) for error in found)
    )


def _explained_below(error: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """Whether another error tells more: a wrong item of this list, or a wrong key of this mapping."""
    if error["type"] not in ("too_short", "string_type"):
        return False
    where = _location(error["loc"])
    return any(_location(other["loc"]).startswith((f"{where}[", f"{where}.")) for other in errors)


def _sentence(where: str, found: list[ErrorDetails]) -> str:
    first = found[0]
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _tag_sentence(where, first)
    if first["type"] == "extra_forbidden":
        return f"{where} is no known key{_nearest(first['loc'])}."
    if first["type"] == "missing":
        return f"{where} is missing; it must be given."
    if first["type"] == "value_error":
        text = first["msg"].removeprefix("Value error, ")
        return f"{text}." if where == _WHOLE else f"{where}: {text}."
    return f"{where} must {' or '.join(_rule(error) for error in found)}. Got {first['input']!r}."


def _tag_sentence(where: str, error: ErrorDetails) -> str:
    context = error["ctx"]
    key = f"{where}.{context['discriminator'].strip(chr(39))}"
    if error["type"] == "union_tag_not_found":
        return f"{key} is missing; it must be given."
    return f"{key} must be {context['expected_tags']}. Got {context['tag']!r}."


def _rule(error: ErrorDetails) -> str:
    bounds = error.get("ctx", {})
    match error["type"]:
        case "greater_than_equal":
            return f"be >= {bounds['ge']}"
        case "greater_than":
            return f"be > {bounds['gt']}"
        case "less_than_equal":
            return f"be <= {bounds['le']}"
        case "less_than":
            return f"be < {bounds['lt']}"
        case "string_pattern_mismatch":
            return f"match {bounds['pattern']}"
        case "too_short":
            return f"have at least {bounds['min_length']} item(s)"
        case "string_too_short":
            return f"have at least {bounds['min_length']} character(s)"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "be a mapping of keys to values"
        case _:
            text = error["msg"].removeprefix("Input should ").split(", unable to")[0]
            return text[0].lower() + text[1:]


def _location(location: tuple[int | str, ...]) -> str:
    """Spell a place as a person would, without the names that pydantic gives the branches of a union."""
    return _walked(location)[0]


def _walked(location: tuple[int | str, ...]) -> tuple[str, list[type[BaseModel]]]:
    """Return how a person spells a place, and the models whose keys may stand there."""
    text = ""
    models: list[type[BaseModel]] = [Config]
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif len(models) > 1 and (tagged := [model for model in models if _tag(model) == part]):
            models = tagged
        else:
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            models = [inner for field in fields for inner in _models_in(field.annotation)] or models
            if not _BRANCH.search(part):
                text += f".{part}" if text else part
    return text or _WHOLE, models


def _tag(model: type[BaseModel]) -> object:
    """Return the one value by which a model of a union is told from the others."""
    literals = (get_args(field.annotation) for field in model.model_fields.values())
    return next((values[0] for values in literals if len(values) == 1 and isinstance(values[0], str)), None)


def _nearest(location: tuple[int | str, ...]) -> str:
    names = _known_names(location[:-1])
    close = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}"
    return f"; known here: {', '.join(names)}" if names else ""


def _known_names(location: tuple[int | str, ...]) -> list[str]:
    models = _walked(location)[1]
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """Return the settings models inside an annotation such as `tuple[SourceSettings, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for one in get_args(annotation) for model in _models_in(one)]
