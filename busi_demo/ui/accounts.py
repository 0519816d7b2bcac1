"""Names and passwords of those who may use the page, for who puts it on the internet."""

from __future__ import annotations

import os
from pathlib import Path

from busi_demo.types import InputError, reason_of

ACCOUNTS_VARIABLE = "BUSI_AUTH_FILE"
"""Environment variable with the path of a text file: a line NAME:PASSWORD for each person."""


def read_accounts() -> list[tuple[str, str]] | None:
    """The names and passwords in the file that `ACCOUNTS_VARIABLE` names; `None` where it is not set: all may enter.

    Raises:
        InputError: the file cannot be read, or a line has no name or no password. No password is shown.
    """
    path = os.environ.get(ACCOUNTS_VARIABLE)
    if not path:
        return None
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"The file that ${ACCOUNTS_VARIABLE} names cannot be read ({reason}).") from error
    accounts = []
    for number, line in enumerate(lines, 1):
        name, colon, password = line.partition(":")
        name = name.strip()  # as the login does
        if not line.strip():
            continue
        if not (name and colon and password):
            raise InputError(f"Line {number} of the file that ${ACCOUNTS_VARIABLE} names is not NAME:PASSWORD.")
        accounts.append((name, password))
    if not accounts:
        raise InputError(f"The file that ${ACCOUNTS_VARIABLE} names holds no NAME:PASSWORD: nobody could enter.")
    return accounts
