"""The results store: what was trained, where, and what came of it."""

from .origin import code_digest, origin
from .run import Run
from .store import ConflictError, DamagedShardWarning, Store

__all__ = ["ConflictError", "DamagedShardWarning", "Run", "Store", "code_digest", "origin"]
