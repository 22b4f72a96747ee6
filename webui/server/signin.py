"""The sign-in page: all that somebody without a session ever sees."""

from __future__ import annotations

from html import escape
from pathlib import Path

STYLE = (Path(__file__).parent / "signin.css").read_text()

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

LINK = '<label>Link<input name="key" type="password" autocomplete="off" required autofocus></label>'
PASSWORD = '<label>Password<input name="password" type="password" autocomplete="current-password" required autofocus></label>'

ASKS_LINK = "This studio is private. Open the link that its owner gave you, or paste it here."
ASKS_LOCAL = "This studio is private. Open the owner's link, which the studio printed when it started, or paste it here."
ASKS_PASSWORD = "The link is right. The owner of this studio also asks for a password."


def page(*, local: bool, password: bool, wrong: str = "") -> str:
    """The page's HTML.

    Args:
        local: whether it is shown on the studio's own machine.
        password: whether a link was opened already and only the password is missing.
        wrong: what was wrong with what was sent.
    """
    words = ASKS_PASSWORD if password else ASKS_LOCAL if local else ASKS_LINK
    sentence = f'<p class="wrong" role="alert">{escape(wrong)}</p>' if wrong else f"<p>{words}</p>"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Stepwise: sign in</title><style>{STYLE}</style><main><h1>Stepwise</h1>{sentence}"
        f'<form method="post" action="/sign-in">{PASSWORD if password else LINK}<button>Sign in</button></form></main>'
    )
