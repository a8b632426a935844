#include "engine/tokenizer/read_score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPONENT_MAX 1000000 /* beyond it every number is 0 or infinite */

struct digits {
    uint64_t value; /* times 10^exponent */
    int exponent;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* False, and no change, when the digit no longer fits. */
static bool append(struct digits *d, char c)
{
    uint64_t digit = (uint64_t)(c - '0');
    if (d->value > (UINT64_MAX - digit) / 10) return false;
    d->value = d->value * 10 + digit;
    return true;
}

static void count(int *n)
{
    if (*n < EXPONENT_MAX) ++*n;
}

/* The digits before the point: from the first that does not fit on they only count. */
static const char *read_whole(struct digits *d, const char *p, const char *end)
{
    while (p < end && is_digit(*p) && append(d, *p)) p++;
    for (; p < end && is_digit(*p); p++) count(&d->exponent);
    return p;
}

/* Those after it: from the first that does not fit on they are dropped. */
static const char *read_fraction(struct digits *d, const char *p, const char *end)
{
    for (; p < end && is_digit(*p) && append(d, *p); p++)
        if (d->exponent > -EXPONENT_MAX) d->exponent--;
    while (p < end && is_digit(*p)) p++;
    return p;
}

static int read_exponent(const char *p, const char *end)
{
    int value = 0;
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    for (; p < end && is_digit(*p); p++)
        if (value < EXPONENT_MAX) value = value * 10 + (*p - '0');
    return negative ? -value : value;
}

static double power_of_ten(int n) /* 0 <= n <= 308 */
{
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    char text[16];
    if (n < (int)(sizeof(exact) / sizeof(exact[0]))) return exact[n];
    snprintf(text, sizeof(text), "1e%d", n);
    return strtod(text, NULL);
}

bool read_score(struct str number, double *out)
{
    const char *p = number.data, *end = number.data + number.len;
    struct digits d = {0};
    bool negative = p < end && *p == '-';
    if (negative) p++;
    if (p == end || !is_digit(*p)) return false;
    p = read_whole(&d, p, end);
    if (p < end && *p == '.') p = read_fraction(&d, p + 1, end);
    if (p < end && (*p == 'e' || *p == 'E')) d.exponent += read_exponent(p + 1, end);
    double value = (double)d.value;
    for (; d.exponent < -308 && value != 0; d.exponent += 308) value /= 1e308;
    if (value != 0 && d.exponent > 308) return false;
    if (value != 0)
        value =
            d.exponent < 0 ? value / power_of_ten(-d.exponent) : value * power_of_ten(d.exponent);
    *out = negative ? -value : value;
    return isfinite(value);
}
