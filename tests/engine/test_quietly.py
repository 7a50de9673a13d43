"""PEFT comes without a remark; what bitsandbytes has compiled, is compiled when it is first called; nothing stays so."""

import gc
import logging

import torch

from engine import quietly


def test_nothing_stays_changed():
    assert gc.isenabled() and torch.compile.__module__ == "torch"
    assert logging.getLogger("bitsandbytes.backends.cpu.ops").level == logging.NOTSET
    gc.disable()
    try:
        with quietly._garbage_left():
            pass
        assert not gc.isenabled(), "whose garbage is not collected keeps it so"
    finally:
        gc.enable()


def test_a_function_is_compiled_once_when_it_is_first_called(monkeypatch):
    compiled = []

    def compiler(function, **options):
        compiled.append(options)
        return lambda *args: ("compiled", function(*args))

    monkeypatch.setattr(torch, "compile", compiler)
    with quietly._compiled_when_called():

        @torch.compile(dynamic=False)
        def double(number):
            return 2 * number

        plain = torch.compile(abs)
    assert torch.compile is compiler and not compiled
    assert [double(2), double(3), plain(-1)] == [("compiled", 4), ("compiled", 6), ("compiled", 1)]
    assert double.__name__ == "double" and compiled == [{"dynamic": False}, {}]
