"""``stitchkit/__init__.pyi``, by which type checkers see the lazy public names, written from ``stitchkit._PUBLIC``.

Run ``python tests/public_stub.py`` (``make stub``) after a change of the table.
"""

from __future__ import annotations

from pathlib import Path

import stitchkit

STUB = Path(stitchkit.__file__).with_suffix(".pyi")
HEAD = '"""The public names, for type checkers; written by ``make stub`` from the table in ``__init__.py``."""'


def stub() -> str:
    """The text of the stub: one re-exported import for each row of the table, and the version."""
    rows = sorted(address.split(":") for address in stitchkit._PUBLIC.values())
    imports = [f"from {module} import {name} as {name}" for module, name in rows]
    return "\n".join([HEAD, "", *imports, "", "__version__: str", "__all__: list[str]", ""])


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
