"""``python -m streamcore`` is the command ``streamcore``."""

from __future__ import annotations

from streamcore.cli.main import main

if __name__ == "__main__":
    main()
