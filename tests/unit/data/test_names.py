from __future__ import annotations

from raypipe.data.names import suggest


def test_the_nearest_name_is_suggested_whatever_its_case() -> None:
    assert suggest("Arival", ["arrival", "origin"]) == "did you mean 'arrival'?"


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    assert suggest("zzz", ["a", "b"]) == "there are a, b."
    assert suggest("zzz", [f"column{n}" for n in range(20)]).endswith("column7, ....")
    assert suggest("zzz", []) == "there are none."
