-- needs: 1
-- The same tables as nodes/store/schema.sql; times are seconds since 1970.
-- Events handled: an id that stands here has had its effect.
CREATE TABLE inbox (
    event_id text PRIMARY KEY,
    seen_at double precision NOT NULL
);
CREATE INDEX inbox_by_age ON inbox (seen_at);

-- One row per aggregate: the version rises with every change of its records. What was deleted up to the version
-- `forgotten` has left no trace.
CREATE TABLE aggregates (
    aggregate text PRIMARY KEY,
    version bigint NOT NULL,
    journalled bigint NOT NULL,
    last_hash text NOT NULL,
    forgotten bigint NOT NULL DEFAULT 0
);

-- A deleted record stays for a while with a NULL value, so that other processes learn of it by its version.
CREATE TABLE records (
    aggregate text NOT NULL,
    key text NOT NULL,
    value bytea,
    version bigint NOT NULL,
    PRIMARY KEY (aggregate, key)
);
CREATE INDEX records_by_version ON records (aggregate, version);
CREATE INDEX records_deleted ON records (aggregate) WHERE value IS NULL;

-- Effects to carry out. claimed_until = 0: belongs to nobody.
CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    aggregate text NOT NULL,
    event_id text NOT NULL,
    effect_index integer NOT NULL,
    effect bytea NOT NULL,
    created_at double precision NOT NULL,
    owner text NOT NULL,
    claimed_until double precision NOT NULL,
    attempts integer NOT NULL,
    failures integer NOT NULL DEFAULT 0
);
CREATE INDEX outbox_by_claim ON outbox (kind, claimed_until);
CREATE INDEX outbox_by_owner ON outbox (owner);
CREATE INDEX outbox_by_aggregate ON outbox (aggregate);

CREATE TABLE timers (
    serial bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aggregate text NOT NULL,
    name text NOT NULL,
    due_at double precision NOT NULL,
    UNIQUE (aggregate, name)
);
CREATE INDEX timers_by_due ON timers (due_at);

CREATE TABLE journal (
    aggregate text NOT NULL,
    n bigint NOT NULL,
    at double precision NOT NULL,
    entry bytea NOT NULL,
    PRIMARY KEY (aggregate, n)
);

CREATE TABLE secrets (
    name text PRIMARY KEY,
    sealed bytea NOT NULL
);
