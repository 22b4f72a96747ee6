"""Comments in prompts and in wildcards' lines."""

from __future__ import annotations

import re

COMMENT = re.compile(r"(?:^|(?<=[ \t]))#(?:[# \t][^\n]*)?$|^[ \t]*#[^\n]*$", re.MULTILINE)


def without_comments(text: str) -> str:
    """The text without lines that begin with `#`, and without what follows a `#` that stands alone between blanks.

    stable-diffusion-webui cuts at every `#`; here `#ff8800`, `C#` and `#1` are words.
    """
    if "#" not in text:
        return text
    lines = [(line, COMMENT.sub("", line)) for line in text.split("\n")]
    return "\n".join(left.rstrip() if left != line else line for line, left in lines if left.strip() or left == line)
