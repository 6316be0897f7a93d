-- A journal of schema version 0, as the program made it that had no leases and could not close a stream.
PRAGMA application_id = 1667920494;
PRAGMA user_version = 0;
PRAGMA auto_vacuum = incremental;
PRAGMA journal_mode = wal;
CREATE TABLE streams (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    head BLOB NOT NULL
) STRICT;
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX records_by_stream ON records (stream, version);
INSERT INTO streams VALUES (1, 'run-1', 2,
    x'844d0f81a74bc1d260dfb2ea41594baf2fa9b6f0608714139585dfa8d5a469d9');
INSERT INTO streams VALUES (2, 'run-2', 1,
    x'17e4d2669150fae478cc45187983b8a2044bbd28ff52be9d3259c314ac02c1a4');
INSERT INTO records VALUES (1, 1, 1, 1714564800000000, 'started', x'7b7d',
    x'e6367cd199b1aa50a5ff0f7a27a6469e4eacd1aa905ce5c0cb24233ba22eb6ec');
INSERT INTO records VALUES (2, 2, 1, 1714564800000000, 'started', x'7b7d',
    x'17e4d2669150fae478cc45187983b8a2044bbd28ff52be9d3259c314ac02c1a4');
INSERT INTO records VALUES (3, 1, 2, 1714564801500000, 'finished', x'7b226f6b223a747275657d',
    x'844d0f81a74bc1d260dfb2ea41594baf2fa9b6f0608714139585dfa8d5a469d9');
