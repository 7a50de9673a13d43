"""Between which shares does the true one lie? The interval of a share of answers, and of a difference or another sum of
several; and what chance gives where a rank is told in bits."""

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
    return weighted((1, successes, n), (-1, others, m))


def weighted(*shares: tuple[float, float, int]) -> tuple[float, float]:
    """Between which values does a weighted sum of shares lie, at 95 %? Each is (weight, successes, n).

    Newcombe's way for any weights: G. Y. Zou, W. Huang and X. Zhang, "A note on confidence interval estimation for a
    linear function of binomial proportions", Computational Statistics & Data Analysis 53 (2009).
    """
    total, below, above = 0.0, 0.0, 0.0
    for weight, successes, n in shares:
        p, ends = successes / n if n else 0.5, wilson(successes, n)
        low, high = sorted(weight * end for end in ends)
        total += weight * p
        below, above = math.hypot(below, weight * p - low), math.hypot(above, high - weight * p)
    return total - below, total + above
