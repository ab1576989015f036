"""Who may ask what of an endpoint: one guard for its users, one for its operator, none for its health."""

from __future__ import annotations

from collections.abc import Mapping

from raypipe.core.errors import RaypipeError
from raypipe.serving.bodies import Refuse
from raypipe.serving.operator import status_of
from raypipe.serving.reply import Reply
from raypipe.serving.token import Guard


class Guards:
    """The guard of each route; without `users`, releases alone are guarded."""

    def __init__(self, operators: Guard, users: Guard | None, refuse: Refuse) -> None:
        self._refuse = refuse
        self._by_route = dict.fromkeys(("promote", "rollback"), operators)
        if users is not None:
            self._by_route |= dict.fromkeys(("predict", "feedback", "docs", "openapi.json"), users)
            self._by_route["status"] = operators

    def stopped(self, route: str, headers: Mapping[bytes, bytes]) -> Reply | None:
        """Return the refusal of whoever may not, before anything of a body is read; None for who may."""
        guard = self._by_route.get(route)
        if guard is None:
            return None
        try:
            guard.check(headers.get(b"authorization"))
        except RaypipeError as error:
            return self.refused(error)
        return None

    def refused(self, error: RaypipeError) -> Reply:
        """Return the refusal that an error of an operator's route, or of a guard, comes to."""
        status = status_of(error)
        challenge = ((b"www-authenticate", b"Bearer"),) if status == 401 else ()
        return self._refuse(status, str(error), challenge)
