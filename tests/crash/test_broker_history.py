"""What clients of a broker are told stays true, although it is killed, paused and starved of disk meanwhile.

Random clients work for some seconds, a round; then everything is read, and the history of the round is held
against what a log promises (``tests/histories``). ``CRASH_ROUNDS`` says how many rounds (50), ``CRASH_SEED``
which clients and moments. What clients choose and when the broker is disturbed is the same for a seed; how
real processes come between each other is not. What a failed round has left is kept; the message says where.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.crash.round import Round

pytestmark = pytest.mark.crash

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "50"))
SEED = int(os.environ.get("CRASH_SEED", "2013"))
ROUND_S = float(os.environ.get("CRASH_ROUND_S", "2"))


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_a_disturbed_broker_keeps_its_promises(seed: int, tmp_path: Path) -> None:
    verdict = Round(seed, tmp_path, working_s=ROUND_S).run()

    print(verdict)
    wrong = [*verdict.failures[:5], *map(str, verdict.anomalies[:20])]
    assert not wrong, "\n".join([str(verdict), f"kept in {tmp_path}", *wrong])
    shutil.rmtree(tmp_path)
