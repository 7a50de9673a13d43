"""How does Glasstune say that the user, not the program, has to change something?"""

import unicodedata

# Control and format characters, lone surrogates, private use, line and paragraph separators: some of them move the
# cursor, change colours, write the clipboard, or turn the reading direction around.
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def printable(text: str, keep: str = "") -> str:
    r"""What can be shown of text that came from anywhere? Characters that steer a terminal become escapes like \x1b.

    keep: characters left as they are, e.g. "\n".
    """
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in _UNSAFE
        else character.encode("unicode_escape").decode()
        for character in text
    )


class InputError(ValueError):
    """One clear sentence: what is wrong, where, and what to do. Command lines print it without a traceback.

    It may quote the user's data, so it is made printable, on one line.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))
