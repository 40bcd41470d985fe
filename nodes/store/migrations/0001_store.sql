-- needs: 1
-- Events handled: an id that stands here has had its effect.
CREATE TABLE inbox (
    event_id TEXT PRIMARY KEY,
    seen_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX inbox_by_age ON inbox (seen_at);

-- One row per aggregate: the version rises with every change of its records. What was deleted up to the version
-- `forgotten` has left no trace.
CREATE TABLE aggregates (
    aggregate TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    journalled INTEGER NOT NULL,
    last_hash TEXT NOT NULL,
    forgotten INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- A deleted record stays for a while with a NULL value, so that other processes learn of it by its version.
CREATE TABLE records (
    aggregate TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB,
    version INTEGER NOT NULL,
    PRIMARY KEY (aggregate, key)
) WITHOUT ROWID;
CREATE INDEX records_by_version ON records (aggregate, version);
CREATE INDEX records_deleted ON records (aggregate) WHERE value IS NULL;

-- Effects to carry out. claimed_until = 0: belongs to nobody.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    aggregate TEXT NOT NULL,
    event_id TEXT NOT NULL,
    effect_index INTEGER NOT NULL,
    effect BLOB NOT NULL,
    created_at REAL NOT NULL,
    owner TEXT NOT NULL,
    claimed_until REAL NOT NULL,
    attempts INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX outbox_by_claim ON outbox (kind, claimed_until);
CREATE INDEX outbox_by_owner ON outbox (owner);

CREATE TABLE timers (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    aggregate TEXT NOT NULL,
    name TEXT NOT NULL,
    due_at REAL NOT NULL,
    UNIQUE (aggregate, name)
);
CREATE INDEX timers_by_due ON timers (due_at);

CREATE TABLE journal (
    aggregate TEXT NOT NULL,
    n INTEGER NOT NULL,
    at REAL NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (aggregate, n)
) WITHOUT ROWID;

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) WITHOUT ROWID;

-- When each process of the node was last heard of.
CREATE TABLE processes (
    owner TEXT PRIMARY KEY,
    seen_at REAL NOT NULL
) WITHOUT ROWID;
