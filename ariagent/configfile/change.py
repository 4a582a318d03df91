"""Compares settings: those that a running service takes over from a changed file, and those that need a restart."""

from ariagent.config.tree import Settings

AT_RUN_TIME = frozenset(
    (
        *("agents", "routes", "hours", "pool", "destinations", "tools", "mcp_servers", "outbound", "caps", "cost"),
        *("drain_timeout_s", "drain_to", "log", "records", "timezone"),
    )
)
"""Sections whose changes apply to new calls; ``log.level``, ``log.format`` and ``records`` apply at once."""


def changed(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """The names of the sections that differ: (those that can change now, those that need a restart)."""
    names = [name for name in Settings.model_fields if getattr(old, name) != getattr(new, name)]
    fixed = [name for name in names if name not in AT_RUN_TIME]
    if old.records.enabled != new.records.enabled:
        # The database is opened when the service starts, so that an unusable folder is found then.
        fixed.append("records.enabled")
    return [name for name in names if name in AT_RUN_TIME], fixed
