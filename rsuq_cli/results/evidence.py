"""What was counted, read back: the evidence of a run in pages, and the bins that it was counted in.

Invariant: a page is read in a transaction of its own, so that storing while reading is fine and nothing waits for long.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sqlalchemy import Connection, select

from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import Array, EvidenceRow, StoredEdges
from rsuq_cli.results.tables import BinEdges, CertifiedSample, Evidence, table_of

BIN_EDGES, CERTIFIED_SAMPLE, EVIDENCE = table_of(BinEdges), table_of(CertifiedSample), table_of(Evidence)
# Few enough that a reader holds little memory and no transaction for long, many enough that queries do not count.
PAGE = 256


def load_edges(db: Database, run_id: int) -> dict[str, StoredEdges]:
    """Returns the bins of a run by measure, bit for bit as they were given."""
    with db.read() as connection:
        return edges_of(connection, run_id)


def load_evidence(db: Database, run_id: int) -> Iterator[EvidenceRow]:
    """Yields the evidence of a run in the order of its inputs."""
    return _pages(db, run_id, scoring_id=None)


def evidence_without_samples(db: Database, run_id: int, scoring_id: int) -> Iterator[EvidenceRow]:
    """Yields the evidence of a run that has no certificate under a scoring yet; storing some while reading is fine."""
    return _pages(db, run_id, scoring_id)


def _pages(db: Database, run_id: int, scoring_id: int | None) -> Iterator[EvidenceRow]:
    e, s = EVIDENCE.c, CERTIFIED_SAMPLE.c
    columns = (e.input_index, e.label, e.n0, e.n, e.counts, e.seconds, e.unanswered)
    wanted = select(*columns).where(e.run_id == run_id).order_by(e.input_index).limit(PAGE)
    if scoring_id is not None:
        scored = select(s.input_index).where(s.scoring_id == scoring_id, s.input_index == e.input_index)
        wanted = wanted.where(~scored.exists())
    last = -1
    while True:
        with db.read() as connection:
            page = connection.execute(wanted.where(e.input_index > last)).all()
        if not page:
            return
        yield from (EvidenceRow(*row) for row in page)
        last = page[-1].input_index


def edges_of(connection: Connection, run_id: int) -> dict[str, StoredEdges]:
    """Returns the bins of a run by measure, as `load_edges` does, within a transaction that is open."""
    rows = connection.execute(select(BIN_EDGES).where(BIN_EDGES.c.run_id == run_id).order_by(BIN_EDGES.c.measure))
    return {row.measure: StoredEdges(_from_blob(row.edges), _from_blob(row.coverages)) for row in rows}


def _from_blob(blob: bytes) -> Array:
    return np.frombuffer(blob, dtype="<f8").astype(np.float64)
