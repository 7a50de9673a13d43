"""Between which shares does the true one lie? The interval of a share of answers, and of a difference of two; and what
chance gives where a rank is told in bits."""

import math


def wilson(successes: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Between which shares does the true one lie, at 95 %? Wilson's score interval, from 0 to 1.

    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), with p = successes / n. E. B. Wilson, "Probable inference, the
    law of succession, and statistical inference", Journal of the American Statistical Association 22 (1927). Unlike
    p ± 2 standard errors it holds for few trials, and for shares near 0 and 1.
    """
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def exposure_by_chance(codes: int) -> float:
    """The mean exposure of a secret that was never seen, in bits, where `codes` of its form are compared."""
    return math.log2(codes) - math.lgamma(codes + 1) / math.log(2) / codes


def newcombe(successes: float, n: int, others: float, m: int) -> tuple[float, float]:
    """Between which values does the difference of two shares lie, `successes` of n minus `others` of m, at 95 %?

    Both shares' Wilson intervals, put together: method 10 of R. G. Newcombe, "Interval estimation for the difference
    between independent proportions", Statistics in Medicine 17 (1998). On the same questions it is rather too wide.
    """
    (low, high), (other_low, other_high) = wilson(successes, n), wilson(others, m)
    p, q = successes / n if n else 0.5, others / m if m else 0.5
    return p - q - math.hypot(p - low, other_high - q), p - q + math.hypot(high - p, q - other_low)
