"""What decides how models are built besides their own SQL.

Here belongs the fingerprint that makes an incremental model build itself anew after a change of
its code, its macros or its source's declaration. Here does not belong what is done with it: see
``macros/incremental``.
"""

import hashlib

from lakehouse.settings import Settings

_SHARED = ("dbt_project.yml", "macros/**/*.sql", "models/**/*__sources.yml")
"""Variables, macros, and the sources' columns and rules."""


def shared_code(settings: Settings) -> str:
    """A fingerprint of the code that all models share: the same exactly while it is unchanged."""
    digest = hashlib.sha256()
    for pattern in _SHARED:
        for path in sorted(settings.dbt_dir.glob(pattern)):
            digest.update(f"{path.relative_to(settings.dbt_dir)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
