"""What is known of live traffic, measured or estimated, and what would trigger next, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from raypipe.cli.output import table

if TYPE_CHECKING:
    from raypipe.control.nearness import Outlook
    from raypipe.monitoring.report import (
        ColumnEvidence,
        EstimatedQuality,
        FeatureDrift,
        HarmEvidence,
        Matured,
        Signals,
        WindowReport,
    )

N_COLUMNS = 5


def window_lines(window: WindowReport) -> Iterator[str]:
    """Yield what was measured on a window of live traffic, as a person reads it."""
    yield f"{window.at:%H:%M:%S}  {window.version}: {window.n_rows:,} rows, {window.n_labels:,} labelled"
    quality = window.quality
    if quality is None or quality.value is None:
        yield "  live quality: too few labels yet"
    else:
        ends = "" if quality.low is None else f" [{quality.low:.4g}, {quality.high:.4g}]"
        yield f"  live {quality.metric}: {quality.value:.4g}{ends} on {quality.n_labels:,} labels (measured)"
    if window.signals is not None:
        yield from (f"  {line}" for line in _signal_lines(window.signals))
    yield from (f"  {line}" for line in _drift_lines(window))


def outlook_lines(found: Outlook) -> Iterator[str]:
    """Yield what would start a retrain or an alert next, and what holds retrains back."""
    rows = [
        (one.trigger, one.leads_to, "" if one.ratio is None else f"{one.ratio:.0%}", one.text)
        for one in found.triggers
    ]
    yield from (f"  {line}" for line in table(("trigger", "leads to", "way", ""), rows))
    if found.held_by:
        yield f"  no retrain now: {'; '.join(found.held_by)}"


def _signal_lines(found: Signals) -> Iterator[str]:
    if found.estimated is not None:
        yield _estimated_line(found.estimated)
    if found.matured is not None and found.matured.n_answers:
        yield from _matured_lines(found.matured)
    for one in (found.harm, *found.slices):
        if one is not None and one.loss is not None and (one.harmed or one.changed or not one.of):
            yield _harm_line(one)
    for output in found.outputs:
        word = _said(output.drifted, output.changed) or "as when graded"
        yield f"{output.column}: {word}, evidence {output.nearness:.0%} (measured)"
    yield from _advice_lines(found)


def _advice_lines(found: Signals) -> Iterator[str]:
    joint = found.joint
    if joint is not None:
        word = "live rows are told from training rows" if joint.told_apart else "nothing told apart"
        found_so = f"AUC {joint.auc:.3f}, p {joint.p_value:.2g}"
        yield f"all inputs together: {word}, {found_so} (on a sample, advisory)"
    for one in found.units:
        yield f"{one.column}: its values are {one.factor:.4g} times what they were; another unit? (advisory)"


def _estimated_line(found: EstimatedQuality) -> str:
    by = f" by {found.n_labels:,} labels" if found.n_labels else ""
    checked = "" if found.measured is None else f"; labels so far say {found.measured:.4g}"
    interval = f"{found.value:.4g} [{found.low:.4g}, {found.high:.4g}]"
    return f"{found.loss}: {interval} on {found.n_rows:,} rows ({found.basis}{by}){checked}"


def _matured_lines(found: Matured) -> Iterator[str]:
    coverage = f"{found.n_labelled / found.n_answers:.1%} of {found.n_answers:,} matured answers labelled"
    ends = f"loss between {found.low:.4g} and {found.high:.4g}, whatever missing labels say"
    yield f"{ends}: {coverage} (measured)"
    if found.delay_p50_s is not None and found.delay_p95_s is not None:
        delays = f"half within {found.delay_p50_s:.3g} s, 95% within {found.delay_p95_s:.3g} s"
        yield f"labels come for {found.ever_labelled_ratio:.1%} of answers, of these {delays} (estimated)"


def _harm_line(one: HarmEvidence) -> str:
    of = f" of {one.of}" if one.of else ""
    word = "harm" if one.harmed else _said(False, one.changed) or "no harm"
    loss = f"mean loss {one.loss:.4g} on {one.n_labels:,} labels, {one.at_release:.4g} at release"
    return f"{word}{of}: {loss}, evidence {one.nearness:.0%} (measured)"


def _said(drifted: bool, changed: bool) -> str:
    return "drifted" if drifted else "changed, perhaps" if changed else ""


def _drift_lines(window: WindowReport) -> Iterator[str]:
    """Yield the inputs that are nearest to an alarm, and then those that are furthest from training."""
    found = {one.column: one for one in (window.signals.inputs if window.signals else ())}
    near = {name: one.nearness for name, one in found.items()}
    shown = sorted(window.drift, key=lambda one: (-near.get(one.column, 0.0), -(one.psi or 0.0)))[:N_COLUMNS]
    rows = [
        (
            one.column,
            "-" if one.psi is None else f"{one.psi:.3f}",
            f"{one.missing_ratio:.1%}",
            f"{near[one.column]:.0%}" if one.column in near else "-",
            _verdict(one, found.get(one.column)),
        )
        for one in shown
    ]
    yield from table(("column", "PSI", "missing", "evidence", ""), rows)


def _verdict(one: FeatureDrift, evidence: ColumnEvidence | None) -> str:
    return _said(one.drifted, evidence is not None and evidence.changed)
