"""The API's answers to requests that it refuses."""

from ariagent.errors import AriagentError


class RefusedError(AriagentError):
    """An answer ``{"error": ..., "reason": ..., "remedy": ...}`` with a status of 400 or more."""

    def __init__(self, status: int, error: str, reason: str, *, remedy: str = "", retry_after_s: int = 0) -> None:
        """``error``: a word for programs; ``reason``: a sentence for a reader; ``retry_after_s`` 0: not sent."""
        super().__init__(reason, remedy=remedy)
        self.status = status
        self.error = error
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> dict[str, str]:
        found = {"error": self.error, "reason": str(self)}
        return {**found, "remedy": self.remedy} if self.remedy else found
