"""What is kept small comes back as it was, as far as it is kept."""

import numpy as np

from lessons.claims.compact import pack_bits, pack_nats, pack_shares, unpack_bits, unpack_nats, unpack_shares


def test_bits_come_back_whatever_their_number():
    rng = np.random.default_rng(0)
    for count in (1, 7, 8, 9, 160):
        right = rng.random(count) < 0.5
        assert (unpack_bits(pack_bits(right)) == right).all()
    assert pack_bits([True, False]).startswith("2:")


def test_probabilities_and_losses_come_back_nearly():
    rng = np.random.default_rng(0)
    shares, losses = rng.random(50), rng.random(50) * 12
    assert np.abs(unpack_shares(pack_shares(shares)) - shares).max() <= 0.5 / 255
    assert np.abs(unpack_nats(pack_nats(losses)) - losses).max() <= 0.0005 + 1e-9


def test_a_loss_that_is_no_number_is_the_largest():
    assert unpack_nats(pack_nats([np.nan, np.inf, 1e9])).tolist() == [65.535] * 3
