"""The statements of `raypipe.monitoring.fold`, and the order that they keep.

Of equal times, the row that was read later is the later; `seq` counts rows as they are read.
"""

from __future__ import annotations

FORMAT = 5
"""Of the tables below: a file of another format is folded anew."""
STREAMS = ("predictions", "labels")
_NAMES = ("numbers", "versions", "roles", "newest", "labels", "known", "lives")
FRESH = (
    *(f"DROP TABLE IF EXISTS {name}" for name in _NAMES),
    "CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE versions (code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE roles (code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE lives (
        version TEXT PRIMARY KEY, n_answers INTEGER NOT NULL, counts TEXT NOT NULL, labels TEXT NOT NULL)
        WITHOUT ROWID""",
    """CREATE TABLE newest (
        id TEXT PRIMARY KEY, at INTEGER NOT NULL, seq INTEGER NOT NULL, inputs TEXT) WITHOUT ROWID""",
    "CREATE INDEX newest_order ON newest (at, seq)",
    """CREATE TABLE labels (
        id TEXT, at INTEGER, seq INTEGER, label TEXT, PRIMARY KEY (id, at, seq)) WITHOUT ROWID""",
    """CREATE TABLE known (
        id TEXT PRIMARY KEY, at INTEGER, seq INTEGER, version INTEGER, role INTEGER, prediction TEXT,
        probabilities BLOB, cohort INTEGER, label TEXT, label_at INTEGER,
        places TEXT, counted REAL, is_stale INTEGER)""",
    "CREATE INDEX known_cohort ON known (cohort) WHERE cohort IS NOT NULL",
    "CREATE INDEX known_stale ON known (cohort) WHERE is_stale = 1",
    "CREATE INDEX known_version ON known (version, at, seq) WHERE label_at + at IS NOT NULL",
    "CREATE INDEX known_label ON known (label_at, at, seq) WHERE label_at + at IS NOT NULL",
)
ADD = """INSERT INTO numbers (name, value) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"""

CLEAR_CAME = (
    """CREATE TEMP TABLE IF NOT EXISTS came (
        id TEXT, at INTEGER, seq INTEGER, version INTEGER, role INTEGER, inputs TEXT, prediction TEXT,
        probabilities BLOB, label TEXT)""",
    "CREATE TEMP TABLE IF NOT EXISTS touched (id TEXT PRIMARY KEY) WITHOUT ROWID",
    "DELETE FROM came",
    "DELETE FROM touched",
)
CAME_ANSWERS = """INSERT INTO came (id, at, seq, version, role, inputs, prediction, probabilities)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
COHORT_BITS = 32
"""A cohort is kept as one number: its version's code, and so many bits for which of the version's it is."""
NAMED = ("versions", "roles")
NEW_NAME = "INSERT OR IGNORE INTO {} (name) VALUES (?)"
NAMES = "SELECT name, code FROM {}"
NEW_KNOWN = """INSERT OR IGNORE INTO known
    (id, at, seq, version, role, prediction, probabilities, cohort, places)"""
NEW_NEWEST = "INSERT INTO newest (id, at, seq, inputs)"
FIRST_LABEL = """UPDATE known
    SET label = ?, label_at = ?, is_stale = CASE WHEN cohort IS NULL THEN is_stale ELSE 1 END
    WHERE id = ? AND at IS NOT NULL AND label_at IS NULL"""
NEW_LABELS = "INSERT INTO labels (id, at, seq, label)"
UNLABELLED = """SELECT id FROM known
    WHERE at IS NOT NULL AND label_at IS NULL AND id IN (SELECT id FROM touched)"""
TOUCH = "INSERT OR IGNORE INTO touched (id) VALUES (?)"
KNOWN_IDS = "SELECT id, at IS NOT NULL FROM known WHERE id IN (SELECT id FROM touched)"
"""Of ids that came, those that a row or a label has named before, and whether they were answered."""
READ_LIFE = "SELECT n_answers, counts, labels FROM lives WHERE version = ?"
KEEP_LIFE = "INSERT OR REPLACE INTO lives (version, n_answers, counts, labels) VALUES (?, ?, ?, ?)"
IN_COHORT = "UPDATE known SET cohort = ?, places = ? WHERE id = ?"
"""Once and for all: whichever version answers an id again, it stays in the cohort of the first answer."""
_CODE = "(SELECT code FROM versions WHERE name = :version)"
_FIRST = f"({_CODE} << {COHORT_BITS})"
COHORT = f"SELECT MAX(at), COUNT(*) FROM known WHERE cohort = {_FIRST} + :cohort"
_CHANGE = f"id, cohort & {2**COHORT_BITS - 1}, prediction, probabilities, label, places, counted"
COHORT_LABELS = f"""SELECT {_CHANGE} FROM known
    WHERE cohort = {_FIRST} + :cohort AND label_at IS NOT NULL ORDER BY id"""
STALE = f"""SELECT {_CHANGE} FROM known
    WHERE cohort >= {_FIRST} AND cohort < {_FIRST} + :cohort AND is_stale = 1 ORDER BY cohort, id"""
COUNTED_LOSS = "UPDATE known SET counted = ?, is_stale = NULL WHERE id = ?"
WAITED = f"SELECT at, label_at FROM known WHERE cohort = {_FIRST} + :cohort"
CAME_LABELS = "INSERT INTO came (id, at, seq, label) VALUES (?, ?, ?, ?)"
TOUCHED = "INSERT INTO touched SELECT DISTINCT id FROM came"

COUNTED = ("n_predictions", "n_label_ids", "n_labelled", "n_again", "n_corrected")
COUNT_KNOWN = """SELECT COUNT(at), COUNT(label_at), COUNT(at + label_at)
    FROM known WHERE id IN (SELECT id FROM touched)"""
COUNT_LABELS = """SELECT COUNT(before), COUNT(CASE WHEN before <> label THEN 1 END) FROM (
    SELECT label, LAG(label) OVER (PARTITION BY id ORDER BY at, seq) AS before
    FROM labels WHERE id IN (SELECT id FROM touched))"""

_STALE = "UPDATE known SET is_stale = 1 WHERE cohort IS NOT NULL AND id IN (SELECT id FROM touched)"
TAKE_ANSWERS = (
    """INSERT INTO known (id, at, seq, version, role, prediction, probabilities)
        SELECT id, at, seq, version, role, prediction, probabilities FROM came WHERE true ORDER BY seq
        ON CONFLICT (id) DO UPDATE SET at = excluded.at, seq = excluded.seq, version = excluded.version,
            role = excluded.role, prediction = excluded.prediction, probabilities = excluded.probabilities
        WHERE known.at IS NULL OR excluded.at >= known.at""",
    """INSERT INTO newest (id, at, seq, inputs) SELECT id, at, seq, inputs FROM came WHERE true ORDER BY seq
        ON CONFLICT (id) DO UPDATE SET at = excluded.at, seq = excluded.seq, inputs = excluded.inputs
        WHERE excluded.at >= newest.at""",
    _STALE,
)
TAKE_LABELS = (
    "INSERT INTO labels (id, at, seq, label) SELECT id, at, seq, label FROM came",
    "INSERT OR IGNORE INTO known (id) SELECT id FROM touched",
    """UPDATE known SET (label, label_at) = (
            SELECT label, at FROM labels WHERE labels.id = known.id ORDER BY at DESC, seq DESC LIMIT 1)
        WHERE id IN (SELECT id FROM touched)""",
    _STALE,
)
PRUNE = """DELETE FROM newest WHERE (at, seq) < (
    SELECT at, seq FROM newest ORDER BY at DESC, seq DESC LIMIT 1 OFFSET :last)"""
"""An answer that fell out of the newest never comes back: those before it only move on, or are replaced."""

_COLUMNS = """known.id, known.at, known.seq, versions.name, roles.name, {inputs}, prediction,
    probabilities, label, label_at"""
_NAMED = "JOIN versions ON versions.code = known.version JOIN roles ON roles.code = known.role"
NEWEST = f"""SELECT {_COLUMNS.format(inputs="inputs")} FROM newest JOIN known USING (id) {_NAMED}
    ORDER BY known.at DESC, known.seq DESC LIMIT :limit"""
LABELLED = f"""SELECT {_COLUMNS.format(inputs="'{}'")} FROM known {_NAMED}
    WHERE known.version = {_CODE} AND label_at + at IS NOT NULL AND at <= :before
    ORDER BY at DESC, seq DESC LIMIT :limit"""
_LAST = """(SELECT {} FROM known WHERE known.version = versions.code AND label_at + at IS NOT NULL
    ORDER BY at DESC, seq DESC LIMIT 1)"""
LAST_LABELLED = f"""SELECT name FROM (
        SELECT name, {_LAST.format("at")} AS at, {_LAST.format("seq")} AS seq FROM versions)
    WHERE at IS NOT NULL ORDER BY at DESC, seq DESC LIMIT :limit"""
DELAYS = """SELECT label_at - at FROM known WHERE label_at + at IS NOT NULL
    ORDER BY label_at DESC, at DESC, seq DESC LIMIT :limit"""
