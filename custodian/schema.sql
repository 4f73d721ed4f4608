-- One database, one writer. What an owner agreed to and what a signer got are never updated, only
-- counted down or ended; the history cannot be updated or deleted at all.

PRAGMA user_version = 2;               -- changes with every change below; the daemon opens its own version only

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE invitation (
    code_hash BLOB PRIMARY KEY,      -- SHA-256; the code itself is shown once and not kept
    role      TEXT NOT NULL,
    name      TEXT NOT NULL,
    expires   INTEGER NOT NULL       -- Unix seconds, as every time here
) STRICT;

CREATE TABLE account (
    name     TEXT PRIMARY KEY,
    role     TEXT NOT NULL CHECK (role IN ('admin', 'owner', 'auditor')),
    kdf      TEXT NOT NULL,          -- JSON, the parameters of the password slot
    verifier BLOB NOT NULL,          -- SHA-256 of the login secret; random where there is no password
    public   TEXT NOT NULL,          -- owners: where their shares are sealed to; else ''
    disabled INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE slot (
    owner TEXT NOT NULL REFERENCES account (name),
    id    TEXT NOT NULL,
    body  BLOB NOT NULL,             -- custodian/slot/v1
    PRIMARY KEY (owner, id)
) STRICT;

CREATE TABLE credential (            -- what proves that an owner agreed
    owner  TEXT NOT NULL REFERENCES account (name),
    id     TEXT NOT NULL,
    kind   TEXT NOT NULL CHECK (kind IN ('passkey', 'device', 'ssh')),
    label  TEXT NOT NULL,
    public TEXT NOT NULL,            -- the key that verifies its signatures
    handle TEXT NOT NULL,            -- passkeys: the id the authenticator knows it by, base64; else ''
    added  INTEGER NOT NULL,
    PRIMARY KEY (owner, id)
) STRICT;

CREATE TABLE session (
    token_hash BLOB PRIMARY KEY,     -- SHA-256
    name       TEXT NOT NULL REFERENCES account (name),
    expires    INTEGER NOT NULL
) STRICT;

CREATE TABLE failure (               -- of logins, folded per account and address
    account TEXT NOT NULL,
    address TEXT NOT NULL,
    count   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    told    INTEGER NOT NULL,        -- how many of them the history knows
    PRIMARY KEY (account, address)
) STRICT;

CREATE TABLE signer (
    name         TEXT PRIMARY KEY,
    identity     TEXT NOT NULL,
    token_hash   BLOB NOT NULL UNIQUE,
    recipient    TEXT NOT NULL DEFAULT '',
    announced    TEXT NOT NULL DEFAULT '',   -- when, as the announcement says
    announcement BLOB NOT NULL DEFAULT x'',
    disabled     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE key (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    envelope    BLOB NOT NULL,       -- custodian/envelope/v1
    certificate TEXT NOT NULL        -- PEM
) STRICT;

CREATE TABLE delegation (
    id      TEXT PRIMARY KEY,
    key_id  TEXT NOT NULL REFERENCES key (id),
    owner   TEXT NOT NULL,
    signer  TEXT NOT NULL,
    request TEXT NOT NULL,           -- what it answers, as its terms say
    ends    INTEGER NOT NULL,
    terms   BLOB NOT NULL,           -- custodian/terms/v1
    sealed  TEXT NOT NULL,           -- JSON: recipient -> base64 of the share sealed to it
    left    INTEGER NOT NULL CHECK (left >= 0),
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX delegation_by_key ON delegation (key_id, ends);
CREATE INDEX delegation_by_request ON delegation (request) WHERE request <> '';

CREATE TABLE request (
    id      TEXT PRIMARY KEY,
    body    BLOB NOT NULL,           -- custodian/request/v1
    key_id  TEXT NOT NULL REFERENCES key (id),
    signer  TEXT NOT NULL,
    role    TEXT NOT NULL,           -- of who asks
    asker   TEXT NOT NULL,
    made    INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    outcome TEXT NOT NULL DEFAULT '',  -- '' while it waits
    ended   INTEGER NOT NULL DEFAULT 0,
    reminded INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX request_waiting ON request (outcome, expires);
CREATE INDEX request_by_asker ON request (key_id, role, asker);
CREATE INDEX request_by_made ON request (made);

CREATE TABLE decline (
    request TEXT NOT NULL REFERENCES request (id),
    owner   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    veto    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (request, owner)
) STRICT;

CREATE TABLE notice (                -- what is to be told outside, and has not been yet
    seq      INTEGER PRIMARY KEY,
    receiver TEXT NOT NULL,          -- its name in the configuration
    body     TEXT NOT NULL,          -- JSON
    made     INTEGER NOT NULL,
    tries    INTEGER NOT NULL DEFAULT 0,
    due      INTEGER NOT NULL
) STRICT;

CREATE TABLE lease (
    id       TEXT PRIMARY KEY,
    signer   TEXT NOT NULL,
    recipient TEXT NOT NULL,
    request  TEXT NOT NULL,          -- the signer's idempotency key
    asked    BLOB NOT NULL,          -- SHA-256 of what was asked under it
    key_id   TEXT NOT NULL REFERENCES key (id),
    uses     INTEGER NOT NULL,
    ends     INTEGER NOT NULL,
    entry    INTEGER NOT NULL,       -- its lease.granted in the history
    used     INTEGER,                -- signatures made under it, as its close said; NULL until then
    owed     INTEGER NOT NULL DEFAULT 0,  -- signatures made under it that are not recorded yet
    ended    TEXT NOT NULL DEFAULT '',
    UNIQUE (signer, request)
) STRICT;
CREATE INDEX lease_live ON lease (signer, ended);
CREATE INDEX lease_owing ON lease (signer) WHERE owed > 0;

CREATE TABLE lease_delegation (
    lease      TEXT NOT NULL REFERENCES lease (id),
    delegation TEXT NOT NULL REFERENCES delegation (id),
    PRIMARY KEY (lease, delegation)
) STRICT;
CREATE INDEX lease_by_delegation ON lease_delegation (delegation);

CREATE TABLE signature (             -- so that a batch sent again is not recorded again
    lease  TEXT NOT NULL REFERENCES lease (id),
    number INTEGER NOT NULL,
    PRIMARY KEY (lease, number)
) STRICT;

CREATE TABLE entry (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE hash (                  -- roots of complete subtrees, levels 0, 8, 16, ... of the tree
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (level, idx)
) STRICT;
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note BLOB NOT NULL) STRICT;

CREATE TRIGGER entry_is_append_only_u BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER entry_is_append_only_d BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER hash_is_append_only_u BEFORE UPDATE ON hash BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER hash_is_append_only_d BEFORE DELETE ON hash BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER terms_never_change BEFORE UPDATE OF terms, key_id, owner, signer, request, ends ON delegation
    BEGIN SELECT RAISE(ABORT, 'terms never change'); END;
CREATE TRIGGER envelope_never_changes BEFORE UPDATE OF envelope, id, name ON key
    BEGIN SELECT RAISE(ABORT, 'an envelope never changes'); END;
