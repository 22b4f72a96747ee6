"""REST over people, links and what is shown: behind the Share tab, and for programs."""

from __future__ import annotations

import io
import logging
from typing import Any, TypeVar

import segno
from fastapi import APIRouter, BackgroundTasks
from fastapi import Request as Http
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError

from webui.access.access import LINKS
from webui.errors import InvalidRequest, NotAllowed, StorageError, UserError
from webui.panels.recipe import fragment
from webui.people import COLOURS, RIGHTS, Person
from webui.server.asking import By, Owner
from webui.server.docs import body_of
from webui.server.lan import Lan
from webui.server.objects import an_object
from webui.studio import Studio

log = logging.getLogger(__name__)

T = TypeVar("T", bound=BaseModel)

SHOWN = 24
"""Pictures in one answer about what is shown to the team."""


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Introduction(_Body):
    """What somebody wants to be called."""

    name: str
    colour: str


class Sharing(_Body):
    """What the owner changes; what is left out stays."""

    on: bool | None = None
    shown: bool | None = None
    password: str | None = None


class Showing(_Body):
    """Whether a picture is shown to the team."""

    shown: bool


def sharing(studio: Studio, lan: Lan) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    access = studio.access

    @routes.get("/me")
    def me(by: By) -> dict[str, Any]:
        """Who you are, what you may do, and the colours that there are."""
        return {**_described(by), "colours": COLOURS}

    @routes.put("/me", openapi_extra=body_of(Introduction))
    async def introduce(http: Http, by: By) -> dict[str, Any]:
        """Choose your name and your colour."""
        wanted = await _read(http, Introduction)
        return _described(access.guests.introduce(by, wanted.name, wanted.colour))

    @routes.post("/me/link")
    def hand_over(by: By) -> dict[str, str]:
        """A link that opens once, within ten minutes: the browser that opens it is you too."""
        if by.owns or not lan.open:
            raise NotAllowed("The owner's place is in front of the machine. On another device, use a link for guests.")
        return _drawn(lan.link(access.hand_over(by)))

    @routes.delete("/me")
    def leave(by: By, after: BackgroundTasks) -> dict[str, str]:
        """Sign out, on all your devices."""

        def end() -> None:
            try:
                access.leave(by)
            except StorageError as error:
                log.warning("%s has signed out: %s", by.name, error.message)

        # Afterwards: it ends this very answer too.
        after.add_task(end)
        return {"status": "signed out"}

    @routes.get("/people")
    def people(by: By) -> dict[str, Any]:
        """Who has been here."""
        return {"people": [_described(person) for person in access.guests]}

    @routes.delete("/people/{id}")
    def dismiss(id: str, by: By) -> dict[str, Any]:
        """Sign somebody out. A link that they still have lets them in again."""
        access.dismiss(id, by)
        return {"people": [_described(person) for person in access.guests]}

    @routes.get("/share")
    def share(by: By) -> JSONResponse:
        """Whether the studio is shared, and its links. The owner's alone."""
        return _state(studio, lan, by)

    @routes.put("/share", openapi_extra=body_of(Sharing))
    async def change(http: Http, by: Owner) -> JSONResponse:
        """Open or close the studio for the local network; ask guests for a password, or, with an empty one, for none."""
        wanted = await _read(http, Sharing)
        if wanted.password is not None:
            access.set_password(wanted.password or None, by)
        if wanted.shown is not None:
            access.shown.set_default(wanted.shown, by)
        if wanted.on:
            await lan.start()
        elif wanted.on is not None:
            lan.stop()
        return _state(studio, lan, by)

    @routes.post("/share/links")
    def renew(by: By) -> JSONResponse:
        """New links. All guests are signed out at once, and come in again with the new one."""
        access.renew(by)
        return _state(studio, lan, by)

    @routes.get("/shown")
    def shown() -> dict[str, Any]:
        """The pictures that were shown to the team last, newest first."""
        return {"pictures": studio.pictures.shown(SHOWN)}

    @routes.get("/pictures/{day}/{name}")
    def about(day: str, name: str, by: By) -> dict[str, Any]:
        """Whose a picture is, whether it is shown to the team, and the link that opens its settings."""
        return _picture(studio, f"{day}/{name}", by)

    @routes.put("/pictures/{day}/{name}", openapi_extra=body_of(Showing))
    async def show(day: str, name: str, http: Http, by: By) -> dict[str, Any]:
        """Show a picture to the team, or make it private."""
        studio.pictures.show(f"{day}/{name}", (await _read(http, Showing)).shown, by)
        return _picture(studio, f"{day}/{name}", by)

    return routes


async def _read(http: Http, model: type[T]) -> T:
    values = await an_object(http)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fields = sorted({str(problem["loc"][0])[:60] for problem in error.errors()})
        known = ", ".join(model.model_fields)
        raise InvalidRequest(f"Not understood: {', '.join(fields)}. What can be sent is: {known}.", fields[0]) from None


def _described(person: Person) -> dict[str, Any]:
    return {**person.model_dump(), "may": RIGHTS[person.role], "shade": COLOURS[person.colour]}


def _picture(studio: Studio, name: str, by: Person) -> dict[str, Any]:
    record = studio.pictures.about(name, by)
    people = {person.id: person for person in studio.access.guests}
    try:
        recipe = fragment(studio.pictures.recipe(name, by))
    except UserError:
        # A picture without settings is a picture all the same.
        recipe = None
    whose = _described(people[record.owner]) if record.owner in people else None
    return {"by": whose, "shown": record.shown, "yours": by.owns or by.id == record.owner, "recipe": recipe}


def _state(studio: Studio, lan: Lan, by: Person) -> JSONResponse:
    access = studio.access
    secrets = access.links(by)
    state = {
        "on": lan.open,
        "links": {role: _drawn(lan.link(secrets[role])) for role in LINKS} if lan.open else {},
        "password": access.asks_password,
        "shown": access.shown.default,
        "fingerprint": lan.fingerprint,
    }
    return JSONResponse(state, headers={"cache-control": "no-store"})


def _drawn(link: str) -> dict[str, str]:
    """A link and its QR code, black on white in any theme: some cameras read nothing else."""
    picture = io.BytesIO()
    segno.make(link, error="m", micro=False).save(picture, kind="svg", border=3, dark="#000", light="#fff", omitsize=True, xmldecl=False)
    return {"url": link, "qr": picture.getvalue().decode()}
