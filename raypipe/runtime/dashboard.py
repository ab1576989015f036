"""Whether a Ray's dashboard answers at a URL, to our token and with our version: at once, in a sentence."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from importlib.metadata import version
from urllib.parse import urlsplit

from raypipe.core.errors import ClusterError, ConfigError

WHERE_TOKENS_ARE = "put the cluster's token into ~/.ray/auth_token, or name its file in RAY_AUTH_TOKEN_PATH"
_REFUSALS = (401, 403)


def dashboard_url(address: str) -> str:
    """Return the URL of a dashboard that a person named; raises ConfigError for what is no such URL."""
    url = address if "://" in address else f"http://{address}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"--address must be the URL of a Ray dashboard, such as http://10.0.0.5:8265. Got {address!r}."
        )
    return url.rstrip("/")


def require_dashboard(url: str, token: str | None, *, timeout_s: float = 5.0) -> None:
    """Raise ClusterError unless a dashboard of our version of Ray answers at `url` to `token`."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{url}/api/version", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            there = _version_in(reply.read())
    except urllib.error.HTTPError as error:
        error.close()
        raise ClusterError(_refusal(url, error.code, token)) from error
    except HTTPException as error:
        raise ClusterError(_no_dashboard(url)) from error
    except OSError as error:
        raise ClusterError(
            f"nothing answers at {url} ({getattr(error, 'reason', error)}); start the cluster with its "
            f"dashboard, or correct --address."
        ) from error
    if there is None:
        raise ClusterError(_no_dashboard(url))
    require_version(url, there, version("ray"))


def require_version(url: str, there: str, here: str) -> None:
    """Raise ClusterError where the cluster's Ray is of another version than ours."""
    if there != here:
        raise ClusterError(
            f"the Ray at {url} is {there} and the one here is {here}; install Ray {there} here, or bring the "
            f"cluster to {here}."
        )


def _version_in(body: bytes) -> str | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    value = found.get("ray_version") if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


def _refusal(url: str, status: int, token: str | None) -> str:
    if status in _REFUSALS:
        how = "refuses our token" if token else "asks for a token and there is none"
        return f"the Ray at {url} {how}; {WHERE_TOKENS_ARE}."
    return _no_dashboard(url)


def _no_dashboard(url: str) -> str:
    return (
        f"what answers at {url} is no Ray dashboard; correct --address: the dashboard's URL, with port 8265 "
        f"unless it was changed, not the address that nodes join."
    )
