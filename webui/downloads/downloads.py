"""Downloads, one after the other: started by somebody, paused, gone on with after a drop or a restart, checked, then put into `models/`."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from webui.downloads import hub, web
from webui.downloads.arrival import put
from webui.downloads.offer import Offer, room
from webui.downloads.transfer import fetch
from webui.engine.digest import digest
from webui.errors import DownloadError, InvalidRequest, NotFound, UserError, refused

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "checking", "paused", "failed", "done"]

GOING: tuple[State, ...] = ("waiting", "running", "checking")

PLACE = ".downloads"
"""Folder in `models/` for what is not whole yet: on the same drive, so that a model appears at once, and out of the list's sight."""

OFFERS = 50
"""Offers that are remembered until somebody starts them."""

LONGEST = 1000
"""Characters of an id or an address."""


class Download(BaseModel):
    """How a download is."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    source: str
    bytes: int
    have: int
    state: State
    reason: str = ""
    """Why it stopped, or what became of it, in a sentence."""
    name: str = ""
    """Its name among the models, once it is done."""


class Downloads:
    """Safe between threads. Nothing is fetched unless somebody starts it, not even after a restart."""

    def __init__(self, folder: Path, arrived: Callable[[], object] = lambda: None) -> None:
        """`folder` is the person's own models; `arrived` is called when there is a new one."""
        self._folder = folder
        self._arrived = arrived
        self._lock = threading.Condition()
        self._offers: OrderedDict[str, Offer] = OrderedDict()
        self._known: OrderedDict[str, tuple[Offer, Download]] = OrderedDict()
        self._stop = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._recover()

    def look(self, source: str) -> Offer:
        """What there is to be had under an id of the Hugging Face hub or at an address. Only what this returns can be started.

        Raises:
            DownloadError, InvalidRequest: nothing that can be used; the sentence says why.
        """
        text = source.strip()
        if not text or len(text) > LONGEST or not text.isprintable():
            raise InvalidRequest("Give the id of a model on the Hugging Face hub, such as owner/name, or the address of a file.", "source")
        what = hub.wanted(text, hub.endpoint())
        if what is None and not text.lower().startswith(("http://", "https://")):
            raise InvalidRequest("That is neither an id of the Hugging Face hub, such as owner/name, nor an address.", "source")
        offer = hub.look(text, what) if what is not None else web.look(text)
        with self._lock:
            self._offers[offer.id] = offer
            while len(self._offers) > OFFERS:
                self._offers.popitem(last=False)
        return offer

    def lacking(self, offer: Offer) -> str:
        """Why an offer cannot be started: no room, or something of its name is there; empty if it can."""
        target = self._folder / offer.name
        if offer.folder and target.exists():
            return f"There is a model {offer.name} already. Remove or rename it first."
        return room(offer, self._folder, self._have(offer))

    def start(self, id: str) -> Download:
        """Fetch what was offered, or go on with it.

        Raises:
            NotFound: there is no such offer.
            DownloadError: it cannot be started.
            StorageError: the models' folder cannot be written to.
        """
        with self._lock:
            known = self._known.get(id)
            offer = known[0] if known else self._offers.get(id)
            if offer is None:
                raise NotFound("There is no such download. Look again at what there is.")
            if known and known[1].state in GOING:
                return known[1]
            if sentence := self.lacking(offer):
                raise DownloadError(sentence)
            try:
                self._place(offer).mkdir(parents=True, exist_ok=True)
                (self._place(offer) / "offer.json").write_text(offer.model_dump_json())
            except OSError as error:
                raise refused("The models' folder", error) from None
            self._known.pop(id, None)
            self._enter(offer, "waiting")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="downloads", daemon=True)
                self._thread.start()
            return self._known[id][1]

    def pause(self, id: str) -> Download:
        """Stop for now; what has come is kept.

        Raises:
            NotFound: there is no such download.
        """
        with self._lock:
            offer, download = self._of(id)
            if download.state in GOING:
                if download.state != "waiting":
                    self._stop.set()
                self._say(offer, state="paused")
            return self._known[id][1]

    def remove(self, id: str) -> None:
        """Stop, and throw away what has come; or forget a download that is done.

        Raises:
            NotFound: there is no such download.
        """
        self.pause(id)
        with self._lock:
            offer, _ = self._of(id)
            # Its thread lets go of the file first.
            self._lock.wait_for(lambda: not self._stop.is_set(), timeout=30)
            self._known.pop(id, None)
            shutil.rmtree(self._place(offer), ignore_errors=True)

    def list(self) -> list[Download]:
        """All of them, in the order in which they were started."""
        with self._lock:
            return [download for _, download in self._known.values()]

    def close(self) -> None:
        """Stop; what has come is kept for another time."""
        with self._lock:
            self._closing = True
            self._stop.set()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=5)

    # --- the thread ---

    def _work(self) -> None:
        while True:
            with self._lock:
                self._stop.clear()
                self._lock.notify_all()
                offer = next((offer for offer, one in self._known.values() if one.state == "waiting"), None)
                if offer is None or self._closing:
                    self._thread = None
                    return
                self._say(offer, state="running")
            try:
                self._run(offer)
            except UserError as error:
                self._end(offer, "failed", error.message)
            except OSError as error:
                self._end(offer, "failed", refused("The model", error).message)
            except Exception as error:
                id = uuid.uuid4().hex[:8]
                log.error("error %s", id, exc_info=error)
                self._end(offer, "failed", f"Something went wrong in the studio. The log has the details under {id}.")

    def _run(self, offer: Offer) -> None:
        inside = self._place(offer) / "files"
        before = 0
        for file in offer.files:
            target = inside / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(target.name + ".part")
            if not target.exists():
                if sentence := room(offer, self._folder, self._have(offer)):
                    raise DownloadError(sentence)
                told = self._teller(offer, before)
                if not fetch(file.url, part, file.bytes, self._stop.wait, told):
                    return
                if not self._checked(offer, part, file.sha256):
                    return
                part.rename(target)
                part.with_name(part.name + ".etag").unlink(missing_ok=True)
            before += file.bytes
            self._say(offer, have=before)
        self._put(offer, inside)

    def _teller(self, offer: Offer, before: int) -> Callable[[int], None]:
        last = 0.0

        def told(have: int) -> None:
            nonlocal last
            if time.monotonic() - last > 0.2:
                last = time.monotonic()
                self._say(offer, have=before + have)

        return told

    def _checked(self, offer: Offer, part: Path, wanted: str) -> bool:
        """Whether it is what it must be; or, without a word, it was stopped."""
        if not wanted:
            return True
        self._say(offer, state="checking")
        found = digest(part, self._stop.is_set)
        if found is not None and found[0] != wanted:
            part.unlink()
            raise DownloadError(f"{part.stem} arrived damaged: its checksum is another one than it must be. It was thrown away; try again.")
        self._say(offer, state="running")
        return found is not None

    def _put(self, offer: Offer, inside: Path) -> None:
        name, reason = put(offer, inside, self._folder)
        shutil.rmtree(self._place(offer), ignore_errors=True)
        self._arrived()
        self._say(offer, state="done", name=name, reason=reason, have=offer.bytes)

    # --- bookkeeping ---

    def _recover(self) -> None:
        """What an earlier studio left unfinished: it is listed, and nobody goes on with it unasked."""
        for file in sorted((self._folder / PLACE).glob("*/offer.json")):
            try:
                offer = Offer.model_validate_json(file.read_text())
            except (OSError, ValidationError):
                continue
            if file.parent.name == offer.id:
                self._enter(offer, "paused")

    def _place(self, offer: Offer) -> Path:
        return self._folder / PLACE / offer.id

    def _have(self, offer: Offer) -> int:
        """Bytes that have come already."""
        inside = self._place(offer) / "files"
        parts = [path for file in offer.files for path in (inside / file.path, inside / f"{file.path}.part")]
        return sum(path.stat().st_size for path in parts if path.is_file())

    def _of(self, id: str) -> tuple[Offer, Download]:
        if id not in self._known:
            raise NotFound("There is no such download.")
        return self._known[id]

    def _end(self, offer: Offer, state: State, reason: str) -> None:
        self._say(offer, state=state, reason=reason, have=self._have(offer))

    def _enter(self, offer: Offer, state: State) -> None:
        """At the end of the list."""
        about = {"id": offer.id, "title": offer.title, "source": offer.source, "bytes": offer.bytes}
        self._known[offer.id] = (offer, Download(**about, have=self._have(offer), state=state))

    def _say(self, offer: Offer, **changes: object) -> None:
        with self._lock:
            if offer.id not in self._known:  # removed meanwhile
                return
            _, before = self._known[offer.id]
            if before.state == "paused" and changes.get("state") in ("checking", "running", None):
                changes.pop("state", None)  # somebody paused it while its last bytes came in
            self._known[offer.id] = (offer, before.model_copy(update=changes))
