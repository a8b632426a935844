/* arith.c - + - * / // % ** on numbers, strings and lists, with Python's meaning and errors. */

#include "config/limits.h"
#include "engine/template/interp.h"

#include <math.h>
#include <string.h>

static const char *const op_names[] = {"+", "-", "*", "/", "//", "%", "**"};

static bool fail_types(struct render *r, enum binary_op op, struct value a, struct value b)
{
    return render_fail(r, "unsupported operand types for %s: '%s' and '%s'", op_names[op],
                       value_type_name(a), value_type_name(b));
}

static bool fail_overflow(struct render *r)
{
    return render_fail(r, "the result does not fit in a 64-bit integer");
}

static bool fail_zero(struct render *r)
{
    return render_fail(r, "division by zero");
}

static bool int_power(struct render *r, int64_t base, int64_t exponent, struct value *out)
{
    if (exponent < 0) {
        if (base == 0) return fail_zero(r);
        *out = value_float(pow((double)base, (double)exponent));
        return true;
    }
    int64_t result = 1;
    while (exponent > 0) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
            return fail_overflow(r);
        exponent >>= 1;
        if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return fail_overflow(r);
    }
    *out = value_int(result);
    return true;
}

static bool int_op(struct render *r, enum binary_op op, int64_t a, int64_t b, struct value *out)
{
    int64_t v = 0;
    bool overflow = false;
    bool divides = op == BINARY_DIV || op == BINARY_FLOORDIV || op == BINARY_MOD;
    if (divides && b == 0) return fail_zero(r);
    switch (op) {
    case BINARY_ADD:
        overflow = __builtin_add_overflow(a, b, &v);
        break;
    case BINARY_SUB:
        overflow = __builtin_sub_overflow(a, b, &v);
        break;
    case BINARY_MUL:
        overflow = __builtin_mul_overflow(a, b, &v);
        break;
    case BINARY_DIV:
        *out = value_float((double)a / (double)b);
        return true;
    case BINARY_FLOORDIV:
        overflow = a == INT64_MIN && b == -1;
        if (!overflow) v = a / b - (a % b != 0 && (a < 0) != (b < 0));
        break;
    case BINARY_MOD:
        if (b != -1) v = a % b;
        if (v != 0 && (v < 0) != (b < 0)) v += b;
        break;
    case BINARY_POW:
        return int_power(r, a, b, out);
    }
    if (overflow) return fail_overflow(r);
    *out = value_int(v);
    return true;
}

static double float_mod(double a, double b)
{
    double m = fmod(a, b);
    if (m != 0 && (m < 0) != (b < 0)) return m + b;
    return m == 0 ? copysign(0.0, b) : m;
}

static double float_floordiv(double a, double b)
{
    double m = fmod(a, b);
    double q = (a - m) / b;
    if (m != 0 && (m < 0) != (b < 0)) q -= 1;
    if (q == 0) return copysign(0.0, a / b);
    double whole = floor(q);
    return q - whole > 0.5 ? whole + 1 : whole;
}

static bool float_power(struct render *r, double a, double b, struct value *out)
{
    if (a == 0 && b < 0) return fail_zero(r);
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
        return render_fail(r, "a negative number to a fractional power is complex");
    double v = pow(a, b);
    if (isinf(v) && isfinite(a) && isfinite(b)) return render_fail(r, "the result is too large");
    *out = value_float(v);
    return true;
}

static bool float_op(struct render *r, enum binary_op op, double a, double b, struct value *out)
{
    bool divides = op == BINARY_DIV || op == BINARY_FLOORDIV || op == BINARY_MOD;
    double v = 0;
    if (divides && b == 0) return fail_zero(r);
    switch (op) {
    case BINARY_ADD:
        v = a + b;
        break;
    case BINARY_SUB:
        v = a - b;
        break;
    case BINARY_MUL:
        v = a * b;
        break;
    case BINARY_DIV:
        v = a / b;
        break;
    case BINARY_FLOORDIV:
        v = float_floordiv(a, b);
        break;
    case BINARY_MOD:
        v = float_mod(a, b);
        break;
    case BINARY_POW:
        return float_power(r, a, b, out);
    }
    *out = value_float(v);
    return true;
}

static bool add_lists(struct render *r, struct value a, struct value b, struct value *out)
{
    struct vlist *l = vlist_new(r, a.list->n + b.list->n);
    if (!l || !render_charge(r, (a.list->n + b.list->n) * sizeof(struct value))) return false;
    for (size_t i = 0; i < a.list->n; i++) l->items[l->n++] = a.list->items[i];
    for (size_t i = 0; i < b.list->n; i++) l->items[l->n++] = b.list->items[i];
    *out = VALUE_OF(a.type, list, l);
    return true;
}

static bool add_strings(struct render *r, struct value a, struct value b, struct value *out)
{
    bool markup = a.str->markup || b.str->markup;
    if (markup && (!value_escape(r, a, &a) || !value_escape(r, b, &b))) return false;
    return value_concat(r, a.str, b.str, markup, out);
}

bool add_values(struct render *r, struct value a, struct value b, struct value *out)
{
    return binary_op(r, BINARY_ADD, a, b, out);
}

static bool repeat_string(struct render *r, const struct vstr *s, int64_t n, struct value *out)
{
    if (n < 0 || s->len == 0) n = 0;
    if (n > 0 && (uint64_t)n > LIMIT_TEMPLATE_OUTPUT / s->len)
        return render_fail_status(r, STATUS_TOO_LARGE, "a string grew too long");
    size_t len = s->len * (size_t)n;
    char *data = render_alloc(r, len + 1, 1);
    if (!data) return false;
    for (int64_t i = 0; i < n; i++) memcpy(data + (size_t)i * s->len, s->data, s->len);
    return value_str_view(r, data, len, s->markup, out);
}

static bool repeat_list(struct render *r, struct value v, int64_t n, struct value *out)
{
    size_t n_items = v.list->n;
    if (n < 0 || n_items == 0) n = 0;
    if (n > 0 && (uint64_t)n > LIMIT_TEMPLATE_STEPS / n_items)
        return render_fail_status(r, STATUS_TOO_LARGE, "a list grew too long");
    struct vlist *l = vlist_new(r, n_items * (size_t)n);
    if (!l || !render_charge(r, n_items * (size_t)n * sizeof(struct value))) return false;
    for (int64_t i = 0; i < n; i++)
        for (size_t k = 0; k < n_items; k++) l->items[l->n++] = v.list->items[k];
    *out = VALUE_OF(v.type, list, l);
    return true;
}

/* Sequence times int, either way round. */
static bool multiply(struct render *r, struct value a, struct value b, struct value *out)
{
    if (value_is_int(a)) {
        struct value t = a;
        a = b;
        b = t;
    }
    if (!value_is_int(b)) return fail_types(r, BINARY_MUL, a, b);
    if (a.type == VALUE_STR) return repeat_string(r, a.str, value_as_int(b), out);
    if (a.type == VALUE_LIST || a.type == VALUE_TUPLE)
        return repeat_list(r, a, value_as_int(b), out);
    return fail_types(r, BINARY_MUL, a, b);
}

bool binary_op(struct render *r, enum binary_op op, struct value a, struct value b,
               struct value *out)
{
    if (a.type == VALUE_UNDEFINED || b.type == VALUE_UNDEFINED)
        if (!(op == BINARY_MOD && a.type == VALUE_STR))
            return undef_fail(r, a.type == VALUE_UNDEFINED ? a : b);
    if (value_is_number(a) && value_is_number(b)) {
        if (a.type == VALUE_FLOAT || b.type == VALUE_FLOAT)
            return float_op(r, op, value_as_float(a), value_as_float(b), out);
        return int_op(r, op, value_as_int(a), value_as_int(b), out);
    }
    if (op == BINARY_ADD && a.type == b.type) {
        if (a.type == VALUE_STR) return add_strings(r, a, b, out);
        if (a.type == VALUE_LIST || a.type == VALUE_TUPLE) return add_lists(r, a, b, out);
    }
    if (op == BINARY_MUL) return multiply(r, a, b, out);
    if (op == BINARY_MOD && a.type == VALUE_STR) return format_percent(r, a.str, b, out);
    return fail_types(r, op, a, b);
}

bool unary_op(struct render *r, enum binary_op op, struct value a, struct value *out)
{
    if (a.type == VALUE_UNDEFINED) return undef_fail(r, a);
    if (!value_is_number(a))
        return render_fail(r, "bad operand type for unary %s: '%s'", op_names[op],
                           value_type_name(a));
    if (a.type == VALUE_FLOAT) {
        *out = value_float(op == BINARY_SUB ? -a.f : a.f);
        return true;
    }
    int64_t v = value_as_int(a);
    if (op == BINARY_SUB && v == INT64_MIN) return fail_overflow(r);
    *out = value_int(op == BINARY_SUB ? -v : v);
    return true;
}
