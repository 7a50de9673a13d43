"""How does byte-level BPE write bytes as letters? GPT-2's alphabet: each byte's printable stand-in."""

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

# byte -> itself where it can be printed, or else one of the characters from U+0100 on
STAND_INS: dict[int, str] = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(256 + at) for at, byte in enumerate(_OTHERS)
}
