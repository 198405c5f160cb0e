"""Nodes and workers are killed in turns while an application with joins, sessions and windows runs: each row
comes once, as plain Python computes it.

``CLUSTER_ROUNDS`` says how often (4), ``CLUSTER_SEED`` which ones and when.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.cluster.kafka_cluster import NODES, KafkaCluster
from tests.crash.disturbed_workers import children_of
from tests.crash.shop_app import expected, made_records
from tests.crash.test_shop_kill import PROJECT, differences, load, results_in

pytestmark = pytest.mark.cluster

ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "4"))
SEED = int(os.environ.get("CLUSTER_SEED", "17"))
RECORDS = 40_000
START_MS = 1_700_000_000_000
JOB_S_MAX = 600.0


def test_nodes_and_workers_that_are_killed_change_no_row(cluster: KafkaCluster, tmp_path: Path) -> None:
    random = Random(SEED)
    sent = made_records(SEED, RECORDS, START_MS)
    load(cluster.address(), sent)
    command = [
        *(sys.executable, "-m", "streamcore", "worker", "tests.crash.shop_app:app", "--workers", "2"),
        *("--data", str(tmp_path / "state"), "--broker", cluster.address(), "--until-end", "--close-windows"),
    ]
    with (tmp_path / "output").open("w") as output:
        job = subprocess.Popen(
            command, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdout=output, stderr=output
        )
        try:
            for _ in range(ROUNDS):
                time.sleep(random.uniform(1.0, 3.0))
                node = random.choice(NODES)
                cluster.kill(node)
                time.sleep(random.uniform(1.0, 8.0))
                if workers := children_of(job.pid):
                    os.kill(random.choice(workers), signal.SIGKILL)
                cluster.start(node)
                cluster.wait_until_ready()
            code = job.wait(JOB_S_MAX)
        finally:
            job.kill()
            job.wait()

    printed = (tmp_path / "output").read_text()
    assert code == 0, printed[-6_000:]
    assert differences(results_in(tmp_path / "state", cluster.address()), expected(sent)) == {}, printed[
        -6_000:
    ]
