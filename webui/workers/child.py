"""The engine's process: reads commands from standard input, runs the step loop, writes reports to standard output, one JSON line each.

`python -m webui.workers.child` is started by `local.py` and by nobody else. It ends when its input does, so it never outlives the studio.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from pydantic import BaseModel

from webui.errors import ModelError, UserError
from webui.events import Event
from webui.workers.local import Setup
from webui.workers.worker import COMMAND, Cancel, Command, Down, Holds, Load, Settled, Submit, Told, Unload, Up, Weighed

if TYPE_CHECKING:
    from webui.engine.engine import Engine


class Pipe:
    """The way back to the studio."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def send(self, message: BaseModel) -> None:
        """Write one report. If nobody listens any more, the process has no purpose left."""
        try:
            self._stream.write(message.model_dump_json().encode() + b"\n")
            self._stream.flush()
        except BrokenPipeError:
            os._exit(0)

    def told(self, job: str, event: Event) -> None:
        """Report an event of a job."""
        self.send(Told(job=job, event=event))

    def settled(self, model: str, trouble: str = "") -> None:
        """Report that a model was loaded or let go, or why not."""
        self.send(Settled(model=model, trouble=trouble))


def main() -> None:
    """Run until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole process group; the studio decides when we end
    pipe = Pipe(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what a library prints must not get between the reports
    setup = Setup.model_validate_json(sys.stdin.buffer.readline())
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, commands), daemon=True).start()
    try:
        _run(setup, commands, pipe)
    except Exception:
        logging.getLogger(__name__).exception("the engine cannot go on")
    os._exit(1)  # an orderly end would wait for what the reader holds, and abort


def _read(stream: BinaryIO, commands: queue.SimpleQueue[Command]) -> None:
    for line in stream:
        commands.put(COMMAND.validate_json(line))
    os._exit(0)


def _run(setup: Setup, commands: queue.SimpleQueue[Command], pipe: Pipe) -> None:
    for chatty in ("torchao", "torch.utils._pytree"):  # of what is not used here
        logging.getLogger(chatty).setLevel(logging.ERROR)
    # Here and not at the top: the reader above must be running while torch is being imported.
    from webui.engine.engine import Engine
    from webui.engine.loading import KEPT

    held: dict[str, str] | None = {}

    def loading(model: str) -> None:
        nonlocal held
        held = None  # whatever comes of it is told
        pipe.send(Holds(models=engine.placements, loading=model))

    try:
        engine = Engine(setup.models, setup.device, setup.previews, wishes=setup.wishes, loading=loading)
    except UserError as error:
        pipe.send(Down(reason=error.message, final=True))  # another start would end in the same way
        return
    pipe.send(Up(device=engine.device, slots=engine.slots, models=KEPT, chip=engine.chip))

    def look() -> None:
        nonlocal held
        if engine.placements != held:
            held = engine.placements
            pipe.send(Holds(models=held))

    if setup.preload is not None and commands.empty():
        engine.preload(setup.preload)
        look()

    def listen() -> None:
        while not commands.empty():
            _obey(engine, commands.get(), pipe)

    while True:
        _obey(engine, commands.get(), pipe)
        listen()
        while engine.step(listen):
            look()
            listen()
        look()


def _obey(engine: Engine, command: Command, pipe: Pipe) -> None:
    if isinstance(command, Submit):
        engine.submit(command.job, command.request, partial(pipe.told, command.job))
    elif isinstance(command, Cancel):
        engine.cancel(command.job)
    elif isinstance(command, Load):
        engine.load(command.model, partial(pipe.settled, command.model))
    elif isinstance(command, Unload):
        _unload(engine, command.model, pipe)
    else:
        pipe.send(Weighed(models=command.models, needs=engine.weigh(command.models)))


def _unload(engine: Engine, model: str, pipe: Pipe) -> None:
    try:
        engine.unload(model)
    except ModelError as error:
        pipe.settled(model, error.message)
        return
    pipe.send(Holds(models=engine.placements))
    pipe.settled(model)


if __name__ == "__main__":
    main()
