#include "engine/tokenizer/read_score.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 u128;

#define POWERS 23
static const double powers[POWERS] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}; /* all exact */

/* digits * 10^exponent, rounded as said. */
static double combine(uint64_t digits, int exponent)
{
    char text[16];
    double value = (double)digits;
    for (; exponent < -308; exponent += 308) value /= 1e308;
    int size = exponent < 0 ? -exponent : exponent;
    snprintf(text, sizeof(text), "1e%d", size);
    double power = size < POWERS ? powers[size] : strtod(text, NULL);
    return exponent < 0 ? value / power : value * power;
}

/* The digits by printing, for any x > 0: a microsecond each. */
static double read_printed(double x)
{
    char text[40];
    for (int n = 15; n <= 17; n++) {
        snprintf(text, sizeof(text), "%.*e", n - 1, x);
        if (strtod(text, NULL) == x) break;
    }
    uint64_t digits = 0;
    int exponent = 1;
    const char *c = text;
    for (; *c != 'e'; c++) {
        if (*c == '.') continue;
        digits = digits * 10 + (uint64_t)(*c - '0');
        exponent--;
    }
    for (; digits % 10 == 0; digits /= 10) exponent++;
    return combine(digits, exponent + atoi(c + 1));
}

/* The same by integers, for scores as they are: 1e-5 <= x < 1000.  x = m / 2^s, and x * 10^k has 17
 * digits before its point, so m * 10^k / 2^s is looked at with all its bits: m has 53, 10^k at most
 * 70.  A decimal gives x back when it is less than half a unit of m away. */
static double read_exactly(double x)
{
    int exponent = 0, k = 14;
    uint64_t m = (uint64_t)ldexp(frexp(x, &exponent), 53);
    int s = 53 - exponent;
    for (double below = 1e3; x < below / 10; below /= 10) k++;
    u128 ten_k = 1;
    for (int i = 0; i < k; i++) ten_k *= 10;
    u128 scaled = m * ten_k;
    uint64_t whole = (uint64_t)(scaled >> s);
    if (m == (uint64_t)1 << 52) return read_printed(x); /* below it units are half as large */
    for (uint64_t unit = 100; unit > 0; unit /= 10) {   /* 15, 16, 17 digits */
        uint64_t digits = whole / unit * unit;
        u128 under = scaled - ((u128)digits << s), over = ((u128)(digits + unit) << s) - scaled;
        bool up = over < under || (over == under && digits / unit % 2 == 1);
        if (2 * (up ? over : under) >= ten_k) continue;
        if (up) digits += unit;
        if (unit == 100) return x; /* an integer and a power that are exact: rounded once */
        return (double)(digits / unit) / powers[unit == 10 ? k - 1 : k];
    }
    return read_printed(x);
}

double read_score(double nearest)
{
    double x = fabs(nearest), score = x;
    if (!isfinite(x) || x == 0) return nearest;
    score = x >= 1e-5 && x < 1e3 ? read_exactly(x) : read_printed(x);
    return signbit(nearest) ? -score : score;
}
