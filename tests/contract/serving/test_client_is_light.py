"""Commands that only ask the endpoint must not pay for what answers it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "numpy",
    "pyarrow",
    "polars",
    "ray",
    "pydantic",
    "sqlalchemy",
    "msgspec",
    "torch",
    "xgboost",
    "sklearn",
}


def test_the_clients_of_users_need_no_table_package() -> None:
    program = (
        "import sys, asyncio, raypipe\n"
        "url, row = 'http://127.0.0.1:9/x', {'x': float('nan')}\n"
        "for ask in (raypipe.Client(url, max_retries=0).predict,\n"
        "            lambda rows: asyncio.run(raypipe.AsyncClient(url, max_retries=0).predict(rows))):\n"
        "    try:\n"
        "        ask([row])\n"
        "    except raypipe.RaypipeError as error:\n"
        "        print(type(error).__name__)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *errors, modules = done.stdout.splitlines()
    assert errors == ["EndpointUnavailable"] * 2
    assert (HEAVY - {"msgspec"} | {"pandas"}).isdisjoint(modules.split())


def test_the_client_imports_nothing_heavy() -> None:
    program = "import sys, raypipe.serving.client; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(found.stdout.split())
