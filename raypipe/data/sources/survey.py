"""What lies at each source now, how far it was read, and what its rows can count on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from raypipe.core.errors import RaypipeError
from raypipe.core.ids import Json
from raypipe.data.config import DataSettings
from raypipe.data.sources.config import SourceSettings
from raypipe.data.sources.opened import open_source
from raypipe.data.sources.source import Delivery, Extent


@dataclass(frozen=True)
class Survey:
    """A source as it is now; `problem` says why nothing is known of what lies there."""

    name: str
    format: str
    kind: str
    is_joined: bool
    place: str
    extent: Extent
    position: Json
    """From where it goes on; None for one that was never read, or is read anew each time."""
    delivery: Delivery
    because: str
    problem: str | None

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


def survey(settings: DataSettings, positions: Mapping[str, Json]) -> tuple[Survey, ...]:
    """Return all sources in the config's order; what `positions` has by a source's name was read before."""
    return tuple(_survey(one, positions.get(one.name)) for one in settings.sources)


def _survey(settings: SourceSettings, position: Json) -> Survey:
    source = open_source(settings)
    extent, problem = Extent(None, None, None), None
    try:
        extent = source.extent(position)
    except RaypipeError as error:
        problem = str(error)
    return Survey(
        name=settings.name,
        format=settings.format,
        kind=settings.kind,
        is_joined=settings.join is not None,
        place=source.place,
        extent=extent,
        position=position if source.is_appended else None,
        delivery=source.delivery,
        because=source.because,
        problem=problem,
    )
