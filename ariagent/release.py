"""CORE: the version that an Asterisk reports, as a value that can be compared.

Asterisk reports it in ARI (``system.version``), in AMI and by ``core show version``. Forms that were seen:
``22.10.1``, ``20.21.0-rc1``, ``certified-20.7-cert11`` (also ``certified/20.7-cert2`` and ``18.9-cert12``), a
distribution's ``22.10.1~dfsg+~cs6.17.60671434-1`` and a build from the sources, ``GIT-22-5a1f2e``.
"""

import re
from dataclasses import dataclass

_NUMBER = re.compile(
    r"(?:asterisk )?(?P<git>git-)?(?:certified[/-])?"
    r"(?P<major>\d{1,4})(?:\.(?P<minor>\d{1,6}))?(?:\.(?P<patch>\d{1,6}))?(?!\w)"
    r"(?:-cert(?P<certified>\d{1,6}))?(?:-rc(?P<candidate>\d{1,6}))?(?P<suffix>\S*).*",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Release:
    """One release of Asterisk, or a build of one of its branches."""

    major: int
    minor: int | None
    """None: a build of the branch ``major`` that has no number."""
    patch: int = 0
    candidate: int = 0
    """The number of a release candidate; 0: it is none."""
    certified: int = 0
    """The number after ``-cert``; 0: not a certified release."""
    repackaged: bool = False
    """A distribution has built it, perhaps with fixes of its own."""

    @classmethod
    def parse(cls, version: str) -> "Release | None":
        """None where there is no number to be found (``GIT-master-5a1f2e``, an empty text)."""
        found = _NUMBER.fullmatch(version.strip())
        if found is None:
            return None
        major = int(found["major"])
        if found["git"]:
            return cls(major, None)
        return cls(
            major,
            int(found["minor"] or 0),
            int(found["patch"] or 0),
            int(found["candidate"] or 0),
            int(found["certified"] or 0),
            repackaged=bool(found["suffix"]),
        )

    @property
    def order(self) -> tuple[int, int, int, float, int]:
        """The key for comparison with releases of the same branch: a candidate comes before its release."""
        return self.major, self.minor or 0, self.patch, self.candidate or float("inf"), self.certified

    def __str__(self) -> str:
        if self.minor is None:
            return f"branch {self.major}"
        number = f"{self.major}.{self.minor}"
        name = f"certified-{number}-cert{self.certified}" if self.certified else f"{number}.{self.patch}"
        return f"{name}-rc{self.candidate}" if self.candidate else name
