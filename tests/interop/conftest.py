"""Apache Kafka's jars, for the tests that run its programs.

They need Java; the jars come by Maven, once, into ``.kafka/lib``. Where either is missing the tests
are skipped with a message that says which.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_TOOL_JAR = "kafka-tools-*.jar"


@pytest.fixture(scope="session")
def jars(project: Path) -> Path:
    """The folder with Kafka's jars; fetched where it is missing."""
    if shutil.which("java") is None:
        pytest.skip("java is not installed: Apache Kafka's tools cannot be run")
    folder = project / ".kafka" / "lib"
    if not list(folder.glob(_TOOL_JAR)):
        if shutil.which("mvn") is None:
            pytest.skip("mvn is not installed and .kafka/lib is empty: Apache Kafka's jars are missing")
        pom = project / "tests" / "interop" / "kafka-pom.xml"
        command = [
            "mvn",
            "-q",
            "-B",
            "-f",
            str(pom),
            "dependency:copy-dependencies",
            f"-DoutputDirectory={folder}",
        ]
        fetched = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if fetched.returncode or not list(folder.glob(_TOOL_JAR)):
            pytest.skip(f"Apache Kafka's jars could not be fetched: {fetched.stdout[-500:]}")
    return folder
