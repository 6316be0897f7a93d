-- A journal of schema version 3, as the program made it that did not count what it removed: a closed
-- stream and an open one, a lease that was released, and one that is held until 2024-05-01T12:01:00Z.
PRAGMA application_id = 1667920494;
PRAGMA user_version = 3;
PRAGMA auto_vacuum = incremental;
PRAGMA journal_mode = wal;
CREATE TABLE counters (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            newest_token INTEGER NOT NULL,
            forgotten_token INTEGER NOT NULL,
            latest INTEGER NOT NULL,
            seal BLOB NOT NULL
        ) STRICT;
INSERT INTO counters VALUES (1, 2, 0, 1714564800000000,
    x'44d6b5ae197ca7e9ecba1a90ddd751172db121a34d48336e1d95bd909d229900');
CREATE TABLE leases (
            name TEXT PRIMARY KEY,
            holder TEXT NOT NULL,
            token INTEGER NOT NULL,
            until INTEGER NOT NULL,
            handle BLOB,
            seal BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
INSERT INTO leases VALUES ('run-1', 'worker 1', 1, -9223372036854775808, NULL,
    x'e0b6f55888f8cb591e49973c4306ea7c89e498bf4d07125c34c8698b4c720dd6');
INSERT INTO leases VALUES ('run-2', 'worker 1', 2, 1714564860000000, NULL,
    x'57a2b6ec3d9a8cc9996020caecc277512213e4333ae5e9693ce7e7e9f0685443');
CREATE TABLE records (
            id INTEGER PRIMARY KEY,
            stream INTEGER NOT NULL,
            version INTEGER NOT NULL,
            at INTEGER NOT NULL,
            kind TEXT NOT NULL,
            payload BLOB NOT NULL,
            hash BLOB NOT NULL
        ) STRICT;
INSERT INTO records VALUES (1, 1, 1, 1714564800000000, 'started', x'7b7d',
    x'e6367cd199b1aa50a5ff0f7a27a6469e4eacd1aa905ce5c0cb24233ba22eb6ec');
INSERT INTO records VALUES (2, 1, 2, 1714564800000000, 'finished', x'7b226f6b223a747275657d',
    x'c526d605be87ced81d97b863d0672cb477eaa98da8c421bd260c422e6b8eec44');
INSERT INTO records VALUES (3, 2, 1, 1714564800000000, 'started', x'7b7d',
    x'17e4d2669150fae478cc45187983b8a2044bbd28ff52be9d3259c314ac02c1a4');
CREATE TABLE streams (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            version INTEGER NOT NULL,
            at INTEGER NOT NULL,
            head BLOB NOT NULL,
            is_closed INTEGER NOT NULL,
            seal BLOB NOT NULL
        , needed_by TEXT) STRICT;
INSERT INTO streams VALUES (1, 'run-1', 2, 1714564800000000,
    x'c526d605be87ced81d97b863d0672cb477eaa98da8c421bd260c422e6b8eec44', 1,
    x'35bf1dd563ae9df1064d42b0f24f48f18ea2c0d1068de2c82ebbadf1cab03a8d', NULL);
INSERT INTO streams VALUES (2, 'run-2', 1, 1714564800000000,
    x'17e4d2669150fae478cc45187983b8a2044bbd28ff52be9d3259c314ac02c1a4', 0,
    x'88400961a0fbe3b73a3bbc1b1542a3bd7e955a43e97be8d54bf8e0b0fc49bf85', NULL);
CREATE INDEX closed_streams ON streams (at) WHERE is_closed = 1;
CREATE INDEX open_streams ON streams (name) WHERE is_closed = 0;
CREATE INDEX open_streams_by_number ON streams (number) WHERE is_closed = 0;
CREATE UNIQUE INDEX records_by_stream ON records (stream, version);
