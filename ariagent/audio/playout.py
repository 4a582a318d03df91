"""The queue of the model's speech, and how much of it the caller has heard. CORE.

The model speaks faster than real time; its audio waits here and leaves in frames of exactly 20 ms, one per call of
``next_frame``. Every position (truncation, latency, "finish the sentence before transferring") is counted in bytes
that left, so that at any time and for every item: pushed = sent + cleared + pending.
"""

from collections import deque
from dataclasses import dataclass, field

from ariagent.audio.format import AudioFormat

REMEMBERED_ITEMS = 64
MOST_ITEMS = 256
"""The most items that may wait to be heard. A reply is one item, or a few."""
LONGEST_WAIT_MS = 120_000.0
"""The most audio that may wait to be heard."""
_JOINED_BYTES = 1_920
"""Pieces are joined up to this size: each has a cost of its own, in time and memory."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """An item that was cut short: what of it had left as frames, what had been pushed, and whether that was all."""

    item_id: str
    sent_ms: float
    pushed_ms: float
    finished: bool


@dataclass(frozen=True, slots=True)
class ItemStarted:
    """The first frame with audio of this item was handed out."""

    item_id: str


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """The last audio of this item was handed out and no more will come."""

    item_id: str
    sent_ms: float


@dataclass(slots=True)
class _Item:
    item_id: str
    chunks: deque[bytes] = field(default_factory=deque)
    offset: int = 0  # bytes of chunks[0] that have left
    half_sample: bytes = b""
    pushed: int = 0
    sent: int = 0
    cleared: int = 0
    started: bool = False
    finished: bool = False

    @property
    def pending(self) -> int:
        return self.pushed - self.sent - self.cleared

    def add(self, pcm: bytes) -> None:
        """Add more audio, whole samples."""
        self.pushed += len(pcm)
        if self.chunks and len(self.chunks[-1]) + len(pcm) <= _JOINED_BYTES:
            self.chunks[-1] += pcm
        else:
            self.chunks.append(pcm)

    def take(self, n_bytes: int) -> bytes:
        """Exactly ``n_bytes``, which must be pending, from the front."""
        self.sent += n_bytes
        head, start = self.chunks[0], self.offset
        if len(head) - start > n_bytes:
            self.offset = start + n_bytes
            return head[start : start + n_bytes]
        pieces = []
        while n_bytes:
            head = self.chunks[0]
            piece = head[self.offset : self.offset + n_bytes]
            pieces.append(piece)
            n_bytes -= len(piece)
            self.offset += len(piece)
            if self.offset == len(head):
                self.chunks.popleft()
                self.offset = 0
        return b"".join(pieces)


class Playout:
    """A queue of items, played one after another in the order of their first ``push``.

    An item that runs dry unfinished is waited for: ``next_frame`` returns None (send silence) until a whole frame is
    there or the item is finished; a broken frame is never played. As soon as a later item has audio, the dry one
    counts as finished: a lost ``finish`` cannot block the line.

    Counters: ``underruns``, the gaps inside an item (counted when its audio continues, so that a late ``finish`` after
    the last audio is none); ``muted_bytes``, audio pushed for items that were cleared or finished before.

    Whoever pushes sees to it that it does not stay ``overfull``, which is at more than ``most_ms`` or MOST_ITEMS.
    """

    def __init__(self, fmt: AudioFormat, most_ms: float = LONGEST_WAIT_MS) -> None:
        self._format = fmt
        self._frame_bytes = fmt.frame_bytes
        self.most_ms = most_ms
        self._queue: deque[_Item] = deque()
        self._items: dict[str, _Item] = {}  # the queued ones
        self._over: dict[str, _Item] = {}  # the last ones that were, in the order of their ends
        self._pending = 0
        self._dry = False
        self.paused = False
        """No frame leaves while this is True; pushed audio waits."""
        self._events: list[ItemStarted | ItemEnded] = []
        self.underruns = 0
        self.muted_bytes = 0

    @property
    def format(self) -> AudioFormat:
        return self._format

    @property
    def idle(self) -> bool:
        """Nothing is queued, and no item that began is still unfinished."""
        return not self._queue

    @property
    def ready(self) -> bool:
        """``next_frame`` would return audio."""
        if self.paused:
            return False
        return self._pending >= self._frame_bytes or (self._pending > 0 and self._queue[-1].finished)

    @property
    def pending_ms(self) -> float:
        """Milliseconds of speech that are queued."""
        return self._format.ms(self._pending)

    @property
    def overfull(self) -> bool:
        """More speech is queued than anybody would listen to."""
        return self.pending_ms > self.most_ms or len(self._queue) > MOST_ITEMS

    def sent_ms(self, item_id: str) -> float:
        """Milliseconds of the item that were sent to the caller; 0 for an unknown one (the last 64 that ended are
        known)."""
        item = self._find(item_id)
        return self._format.ms(item.sent) if item else 0.0

    def pushed_ms(self, item_id: str) -> float:
        """Milliseconds of the item that were accepted from the model; 0 for an unknown one (the last 64 that ended are
        known)."""
        item = self._find(item_id)
        return self._format.ms(item.pushed) if item else 0.0

    def _find(self, item_id: str) -> _Item | None:
        return self._items.get(item_id) or self._over.get(item_id)

    def push(self, item_id: str, pcm: bytes) -> None:
        """Add more audio of an item. A sample may be cut in two between pushes."""
        item = self._find(item_id)
        if item is None:
            if not pcm:
                return
            item = self._items[item_id] = _Item(item_id)
            self._queue.append(item)
        elif item.finished:
            self.muted_bytes += len(pcm)
            return
        if item.half_sample or len(pcm) % 2:
            pcm = item.half_sample + pcm
            whole = len(pcm) & ~1
            pcm, item.half_sample = pcm[:whole], pcm[whole:]
        if pcm:
            item.add(pcm)
            self._pending += len(pcm)

    def finish(self, item_id: str) -> None:
        """No more audio will come for this item. Unknown and cleared items are ignored."""
        item = self._items.get(item_id)
        if item is None:
            return
        item.finished = True
        self._retire()

    def next_frame(self) -> bytes | None:
        """The next 20 ms of speech, exactly one frame, or None: send silence.

        The end of a finished item is joined with the item that follows it, or padded with silence (not counted).
        """
        if not self.ready:
            self._dry = not self.paused and bool(self._queue) and self._queue[0].started
            return None
        if self._dry:
            self._dry = False
            head = self._queue[0]
            self.underruns += head.started and head.pending > 0
        if self._pending >= self._frame_bytes:
            return self._gather(self._frame_bytes)
        return self._gather(self._pending).ljust(self._frame_bytes, b"\0")

    def clear(self) -> list[Cleared]:
        """Drop everything not yet handed out. Audio that comes later for these items is muted.

        Returns the items that were not over, in order; also one that had run dry, with its ``finished`` false.
        """
        cleared = []
        for item in self._queue:
            item.cleared = item.pending
            item.chunks.clear()
            cleared.append(
                Cleared(item.item_id, self._format.ms(item.sent), self._format.ms(item.pushed), item.finished)
            )
            item.finished = True
            self._end(item)
        self._queue.clear()
        self._pending = 0
        self._dry = False
        return cleared

    def take_events(self) -> list[ItemStarted | ItemEnded]:
        """Return the events of ``next_frame`` and ``finish`` since the last call, in order."""
        events, self._events = self._events, []
        return events

    def _gather(self, n_bytes: int) -> bytes:
        pieces = []
        self._pending -= n_bytes
        while True:
            item = self._queue[0]
            pending = item.pending
            if pending:
                if not item.started:
                    item.started = True
                    self._events.append(ItemStarted(item.item_id))
                part = min(pending, n_bytes)
                pieces.append(item.take(part))
                n_bytes -= part
            if not n_bytes:
                break
            item.finished = True  # a later item has audio
            self._retire()
        self._retire()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _retire(self) -> None:
        """Take what is finished and sent from the front of the queue."""
        queue = self._queue
        while queue and queue[0].finished and not queue[0].pending:
            item = queue.popleft()
            self._events.append(ItemEnded(item.item_id, self._format.ms(item.sent)))
            self._end(item)

    def _end(self, item: _Item) -> None:
        """Keep the account of an item that is over; of the oldest such, beyond REMEMBERED_ITEMS, no longer."""
        del self._items[item.item_id]
        self._over[item.item_id] = item
        if len(self._over) > REMEMBERED_ITEMS:
            del self._over[next(iter(self._over))]
