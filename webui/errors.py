"""What a person can mend. Everything else that goes wrong is a bug, and is logged with its traceback and a short id."""

from __future__ import annotations


class UserError(Exception):
    """A sentence for a person: what is wrong and what to do about it.

    Shown as it is in the page, as `{"error": {"code", "message", "field"?}}` in REST, and by the command line with exit status 2.
    """

    code = "refused"
    status = 422
    """The HTTP status that REST answers with."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    def payload(self) -> dict[str, dict[str, str]]:
        """The error as REST sends it."""
        body = {"code": self.code, "message": self.message}
        return {"error": body | {"field": self.field} if self.field else body}


class InvalidRequest(UserError):
    """A field of a request is out of its bounds, or two of its fields do not go together."""

    code = "invalid"


class ModelError(UserError):
    """A model is missing, broken, or cannot do what was asked of it."""

    code = "model"


class NotFound(UserError):
    """There is no such job or picture; the same answer whether it never existed or is somebody else's."""

    code = "not_found"
    status = 404


class NotYet(UserError):
    """What is asked for comes of pictures that are still being made."""

    code = "not_yet"
    status = 409


class TooMany(UserError):
    """A limit is reached: waiting jobs, pictures at once, body size."""

    code = "too_many"
    status = 429


class StorageError(UserError):
    """A picture or the journal cannot be written: disk full, read-only folder, another studio on the same folder."""

    code = "storage"
    status = 507


class DiskFull(StorageError):
    """There is no room on the disk; what could not be written is kept in memory and tried again."""


def refused(what: str, error: Exception) -> StorageError:
    """What SQLite says of a file called `what`, as a sentence that says what to do."""
    if "full" in str(error):
        return DiskFull(f"The disk is full, so {what[0].lower()}{what[1:]} cannot be written. Free some space.")
    if "readonly" in str(error):
        return StorageError(f"{what} is on a read-only drive and cannot be written. Make it writable.")
    return StorageError(f"{what} cannot be written: {error}. Check the drive.")


class DownloadError(UserError):
    """A model cannot be fetched: it is not there, not what it should be, or the connection breaks off."""

    code = "download"
    status = 422


class EngineFailed(UserError):
    """The engine could not make the picture; the studio itself is up."""

    code = "engine"
    status = 503


class NotAllowed(UserError):
    """This person may not do that; somebody else may."""

    code = "not_allowed"
    status = 403
