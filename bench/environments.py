"""The environments of peers: made by the first run that needs them, ignored by git."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BYTEWAX = "bytewax==0.21.1"
_BYTEWAX_FOLDER = ROOT / ".venv-bytewax"


def bytewax_python() -> Path | str:
    """The interpreter that has Bytewax; a text that says why not, if it cannot be had."""
    python = _BYTEWAX_FOLDER / "bin" / "python"
    if _works(python):
        return python
    print(f"making {_BYTEWAX_FOLDER.name} with {BYTEWAX}", file=sys.stderr)
    for command in (
        [sys.executable, "-m", "venv", str(_BYTEWAX_FOLDER)],
        [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", BYTEWAX],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            return f"{BYTEWAX} cannot be installed here: {lines[-1]}"
    return python if _works(python) else f"{BYTEWAX} is installed but does not start"


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import bytewax"], capture_output=True, check=False).returncode == 0
