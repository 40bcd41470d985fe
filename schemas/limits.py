"""Every bound that several parts share, with its unit in its name. Pure."""

from __future__ import annotations

from typing import Final

# Events and bodies
EVENT_DATA_BYTES_MAX: Final = 256 * 1024
"""JSON data of a control event."""
BODY_BYTES_TARGET: Final = 1024 * 1024
"""Batches are cut so that their bodies stay near this: the best throughput per broker CPU."""
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""No body is larger; RabbitMQ 4 refuses messages over 16 MiB."""
PIECE_BYTES: Final = BODY_BYTES_TARGET
"""Programs and public keys travel in pieces of so much."""
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of what travels in pieces: at most 64 of them."""
PIECES_UNDER_WAY_MAX: Final = 4
"""Pieces that a worker has asked for and not got yet, per file: as many bytes as a window of batches."""
ATTRIBUTE_CHARS_MAX: Final = 1024
ATTRIBUTES_MAX: Final = 32
REASON_CHARS_MAX: Final = 2000
"""Of a text for people in an event."""

# Orders and contracts
UNITS_PER_ORDER_MAX: Final = 4096
"""A unit is one worker computing at a time."""
PRICE_MICROS_MAX: Final = 10**12
"""Millionths of the network's currency per unit and hour."""
PRICE_MICROS_DEFAULT: Final = 1_000_000
"""What a lessor asks that says nothing else."""
PRICE_MICROS_MAX_DEFAULT: Final = 10 * PRICE_MICROS_DEFAULT
"""What a renter pays at most that says nothing else."""
LESSORS_PER_JOB_MAX: Final = 64
QUOTE_LEASE_SECONDS: Final = 15.0
"""How long another hub keeps what it quoted reserved."""
QUOTE_WAIT_SECONDS: Final = 3.0
"""How long a hub waits for the quotes of others before it decides with what it has."""
SELL_ORDER_SECONDS_MAX: Final = 24 * 3600.0
CHARGED_SECONDS_MIN_DEFAULT: Final = 10.0
"""That a lessor charges for a contract however short; to open a subtask costs it as much."""
CONTRACT_IDLE_SECONDS_MAX: Final = 900.0
"""A lessor may end a contract under which nothing was asked for this long."""
RENEWAL_SECONDS_MAX: Final = 60.0
"""So long before its end a contract may be renewed."""
LEASE_SECONDS_DEFAULT: Final = 3600.0
LEASE_SECONDS_MAX: Final = 7 * 24 * 3600.0
ADVERTISE_SECONDS: Final = 5.0
"""A hub tells its neighbours of compute no more often."""
ANNOUNCE_SECONDS: Final = 1.0
"""A hub tells a neighbour of hubs and the ways there no more often."""
CAPACITY_SECONDS_MAX: Final = 60.0
"""News of compute that are older are dropped, wherever they came from."""
CAPACITIES_PER_NEIGHBOUR_MAX: Final = 64
"""Hubs that one hub tells another of, under each protection: the best that it knows."""
CAPACITIES_TOLD_MAX: Final = 900
"""To people who ask for the market: what an event has room for."""
HOPS_MAX: Final = 255
DAY_SECONDS: Final = 24 * 3600.0
KEEP_RECEIPTS_DAYS_DEFAULT: Final = 400.0
"""After a contract's day its receipt is kept so long: a year's account can be made in the month after it."""
KEEP_RECEIPTS_DAYS_MIN: Final = 15.0
"""Longer than the longest lease and the age of events that are believed: what was forgotten does not come again."""
KEEP_RECEIPTS_DAYS_MAX: Final = 36_500.0
SELL_ORDERS_PER_HUB_MAX: Final = 100_000
OFFERS_PER_QUOTE_MAX: Final = 64

# Jobs
ROWS_PER_JOB_MAX: Final = 1_000_000_000
BATCHES_PER_JOB_MAX: Final = 100_000
ROWS_PER_BATCH_MAX: Final = 1_000_000
COLUMNS_MAX: Final = 4096
PROGRAM_BYTES_MAX: Final = 64 * 1024 * 1024
ROW_ELEMENTS_PER_BATCH_MAX: Final = 1 << 24
"""Numbers that a program makes of one batch: 128 MiB at 8 bytes each."""
BATCH_SECONDS: Final = 5.0
"""Of one core, that a batch takes, whoever works on it: a twelfth of `BATCH_DEADLINE_SECONDS`."""
BATCH_WINDOW: Final = 4
"""Batches under way per subtask: bounds memory at every step however large the job is."""
BATCH_DEADLINE_SECONDS: Final = 60.0
"""A batch without a result after this long goes to another contract."""
BATCH_ATTEMPTS_MAX: Final = 5
"""That fail."""
BATCH_EXCUSES_MAX: Final = 5
"""Attempts that the end of a lease cut off: a batch that is under way at more ends takes longer than any lease."""
MATCH_SECONDS_DEFAULT: Final = 30.0
HANDSHAKE_SECONDS_MAX: Final = 30.0
"""Whoever hears nothing for this long while a session is opened gives it up."""
LOAD_BYTES_PER_SECOND_MIN: Final = 1024 * 1024
"""A program is checked and loaded no slower: a sixth of what a quiet core of 2020 does with a forest."""
LINK_BYTES_PER_SECOND_MIN: Final = 256 * 1024
"""2 Mbit/s: over the slowest link that a job is meant for, its files may take this long."""
NONCE_SECONDS_MAX: Final = 300.0
ENCRYPT_SECONDS_MAX_DEFAULT: Final = 60.0
PARTNER_SECONDS_MAX: Final = 120.0
"""A partner that owes an answer for longer is gone."""
WORK_SIGN_SECONDS: Final = 30.0
"""A partner that works on what it owes says so that often."""
WORK_SECONDS_MAX: Final = 3600.0
"""Signs count for so long: then it has to have done something."""
RENTER_SECONDS_MAX: Final = 3600.0
"""A renter that lets its partner wait for longer is gone."""
APPROVAL_SECONDS_MAX: Final = 24 * 3600.0
"""A request that waits for a person for longer is refused."""
ROWS_PER_OUTPUT_MIN: Final = 20
"""On fewer rows no output of a partner's data rests, unless its policy says so."""
ROWS_PER_COLUMN_MIN: Final = 10
"""Of a model, for the columns of either party: with fewer its weights would show labels."""
SUPPORT_MIN: Final = 20
"""Rows that differ from a column's most frequent value, and rows of a category that has a column of its own."""
KEEP_SECONDS_DEFAULT: Final = 30 * 24 * 3600.0
"""A renter keeps ended jobs, and their results, so long."""
IDS_PER_ALIGNMENT_MAX: Final = 10_000_000
"""Of each side of a private set intersection, which takes 100 bytes of memory for each."""
IDS_PER_ALIGNMENT_DEFAULT: Final = 1_000_000
"""Of the renter's, unless the partner's policy says otherwise."""
MAX_ERROR_DEFAULT: Final = 1e-4

# Runtime
EVENTS_PER_COMMIT_MAX: Final = 16
PUBLISH_SECONDS_MAX: Final = 30.0
CONTROL_PREFETCH: Final = 64
BATCH_PREFETCH: Final = 2
CLOCK_SKEW_SECONDS_MAX: Final = 300.0
"""Events dated further into the future than this are refused."""
