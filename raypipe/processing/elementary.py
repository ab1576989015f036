"""Logarithm and exponential out of additions, products and quotients: the same bits on every processor.

numpy's own choose their code by processor: with and without AVX-512 some 5% of the float64 results of log1p
and expm1 differ in the last bit. What is used here (+, -, *, /, frexp, ldexp, rint) is exactly rounded
everywhere. The method and its constants are those of fdlibm (Sun Microsystems, 1993); errors stay below
two units in the last place.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
NumberTransform = Literal["none", "log", "power", "yeo_johnson"]

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ONE_OVER_LN2 = 1.44269504088896338700e00
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_EXPM1 = (
    -3.33333333333331316428e-02,
    1.58730158725481460165e-03,
    -7.93650757867487942473e-05,
    4.00821782732936239552e-06,
    -2.01099218183624371326e-07,
)
_MAX_EXPONENT = 709.0
"""Beyond it exp passes float64."""


def log1p(x: Floats) -> Floats:
    """Return log(1 + x) of finite x >= 0."""
    u = 1.0 + x
    # What the sum lost, for small x; for large x nothing that counts.
    lost = np.where(x < 1.0, x - (u - 1.0), 1.0 - (u - x)) / u
    return _log(u, lost)


def log(x: Floats) -> Floats:
    """Return log(x) of finite x > 0."""
    return _log(x, np.zeros_like(x))


def expm1(x: Floats) -> Floats:
    """Return exp(x) - 1 of finite x, cut to those of -709 and 709."""
    k, reduced = _reduced(x)
    # (1 + reduced) * 2**k - 1, so ordered that the part which is small is added last.
    scale = np.ldexp(1.0, k)
    return np.where(k == 0, reduced, scale * reduced + (scale - 1.0))


def exp(x: Floats) -> Floats:
    """Return exp(x) of finite x, cut to those of -709 and 709."""
    k, reduced = _reduced(x)
    return np.ldexp(1.0 + reduced, k)


def signed_power(x: Floats, exponent: float | Floats) -> Floats:
    """Return sign(x) * abs(x)**exponent of finite x, for exponents above 0."""
    size = np.abs(x)
    raised = exp(exponent * log(np.where(size == 0.0, 1.0, size)))
    return np.copysign(np.where(size == 0.0, 0.0, raised), x)


def signed_log(x: Floats) -> Floats:
    """Return sign(x) * log(1 + abs(x)) of finite x."""
    return np.copysign(log1p(np.abs(x)), x)


def yeo_johnson(x: Floats, exponent: float | Floats) -> Floats:
    """Return the transform of Yeo and Johnson (Biometrika 87, 2000) of finite x with that lambda."""
    logs = log1p(np.abs(x))
    own = np.where(x < 0.0, 2.0 - exponent, exponent)
    divisor = np.where(own == 0.0, 1.0, own)
    return np.copysign(np.where(own == 0.0, logs, expm1(own * logs) / divisor), x)


def _log(u: Floats, lost: Floats) -> Floats:
    mantissa, exponent = np.frexp(u)
    small = mantissa < math.sqrt(0.5)
    f = np.where(small, 2.0 * mantissa, mantissa) - 1.0
    k = (exponent - small).astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    r = z * _polynomial(z, _LOG)
    half = 0.5 * f * f
    return k * _LN2_HIGH - ((half - (s * (half + r) + (k * _LN2_LOW + lost))) - f)


def _reduced(x: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return k and exp(x) / 2**k - 1, which lies between -0.3 and 0.42."""
    x = np.maximum(np.minimum(x, _MAX_EXPONENT), -_MAX_EXPONENT)
    k = np.rint(x * _ONE_OVER_LN2)
    high, low = x - k * _LN2_HIGH, k * _LN2_LOW
    r = high - low
    lost = (high - r) - low
    half = 0.5 * r
    square = r * half
    series = 1.0 + square * _polynomial(square, _EXPM1)
    t = 3.0 - series * half
    e = square * ((series - t) / (6.0 - r * t))
    return k.astype(np.int64), r - ((r * (e - lost) - lost) - square)


def _polynomial(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    total: Floats = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total
