"""Environments and jars of the peers, which the first run that needs them makes; git ignores them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BYTEWAX = "bytewax==0.21.1"
FLINK = "apache-flink==2.3.0"
QUIX = "quixstreams==3.28.1"
CONFLUENT = "confluent-kafka==2.16.1"
KAFKA = "4.3.0"
_POM = ROOT / "tests" / "interop" / "kafka-pom.xml"
_JARS = ROOT / ".kafka" / "lib"
_FETCH_LIMIT_S = 600


def bytewax_python() -> Path | str:
    """Return the interpreter that has Bytewax, or a text that says why it cannot be installed."""
    return _python_with(BYTEWAX, "bytewax")


def confluent_python() -> Path | str:
    """Return the interpreter that has confluent-kafka, or a text that says why it cannot be installed."""
    return _python_with(CONFLUENT, "confluent_kafka")


def quix_python() -> Path | str:
    """Return the interpreter that has Quix Streams, or a text that says why it cannot be installed."""
    return _python_with(QUIX, "quixstreams")


def flink_python() -> Path | str:
    """Return the interpreter that has Apache Flink, or a text that says why Flink cannot run here.

    Some packages that Flink depends on are built here, since they have no wheels.
    """
    if shutil.which("java") is None:
        return "java is not installed"
    return _python_with(FLINK, "pyflink.version", binary=False)


def kafka_jars() -> Path | str:
    """Return the folder with the jars of Apache Kafka, or a text that says why they cannot be fetched."""
    if shutil.which("java") is None:
        return "java is not installed"
    tools = f"kafka-tools-{KAFKA}.jar"
    if not (_JARS / tools).exists():
        if shutil.which("mvn") is None:
            return f"mvn is not installed, and {_JARS.relative_to(ROOT)} has no {tools}"
        command = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
        print(f"fetching Apache Kafka into {_JARS.relative_to(ROOT)}", file=sys.stderr)
        failure = _failure([*command, f"-DoutputDirectory={_JARS}"])
        if failure is not None:
            return f"Apache Kafka cannot be fetched: {failure}"
    return _JARS if (_JARS / tools).exists() else f"what was fetched has no {tools}"


def _python_with(requirement: str, module: str, *, binary: bool = True) -> Path | str:
    """Return the interpreter of an environment that has one package and its dependencies.

    Without ``binary`` packages that have no wheels are built.
    """
    name = requirement.partition("==")[0]
    folder = ROOT / f".venv-{name}"
    python = folder / "bin" / "python"
    if _has(python, requirement, module):
        return python
    print(f"making {folder.name} with {requirement}", file=sys.stderr)
    wheels = ["--only-binary", ":all:"] if binary else ["--prefer-binary"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *wheels, requirement],
    ):
        failure = _failure(command)
        if failure is not None:
            return f"{requirement} cannot be installed here: {failure}"
    return python if _has(python, requirement, module) else f"{requirement} is installed but does not start"


def _has(python: Path, requirement: str, module: str) -> bool:
    """Whether an interpreter exists and imports the module in exactly this version."""
    if not python.exists():
        return False
    name, _, wanted = requirement.partition("==")
    program = (
        f"import {module}; from importlib.metadata import version; assert version({name!r}) == {wanted!r}"
    )
    return subprocess.run([python, "-c", program], capture_output=True, check=False).returncode == 0


def _failure(command: list[str]) -> str | None:
    """Run a command; return its last line of output if it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"it took more than {_FETCH_LIMIT_S} s"
    said = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
    return said[-1] if done.returncode else None
