/* filters_number.c - numbers, and filters on single values. */

#include "config/base/check.h"
#include "engine/template/interp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool filter_abs(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    if (v.type == VALUE_UNDEFINED) return render_fail(r, "bad operand type for abs()");
    if (v.type == VALUE_FLOAT) {
        *out = value_float(fabs(v.f));
        return true;
    }
    if (!value_is_int(v))
        return render_fail(r, "bad operand type for abs(): '%s'", value_type_name(v));
    return value_as_int(v) < 0 ? unary_op(r, BINARY_SUB, v, out) : unary_op(r, BINARY_ADD, v, out);
}

/* False when Python's int(float) raises. */
static bool truncate_float(double f, int64_t *out)
{
    if (!(f > -9.2e18 && f < 9.2e18)) return false;
    *out = (int64_t)f;
    return true;
}

static bool filter_int(struct render *r, struct value v, const struct args *a, struct value *out)
{
    int64_t base, i;
    double f;
    if (!arg_int(r, a->pos[1], 10, &base)) return false;
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    *out = a->pos[0].type == VALUE_MISSING ? value_int(0) : a->pos[0];
    if (value_is_int(v)) {
        *out = value_int(value_as_int(v));
    } else if (v.type == VALUE_FLOAT) {
        if (isnan(v.f)) return true;
        if (!truncate_float(v.f, &i))
            return render_fail(r, "cannot convert this float to a 64-bit integer");
        *out = value_int(i);
    } else if (v.type == VALUE_STR) {
        struct str s = {v.str->data, v.str->len};
        if (!render_charge(r, CHARGE_SLOW * s.len)) return false;
        if (parse_int_text(s, (int)(base >= 0 && base <= 36 ? base : 1), &i) ||
            (parse_float_text(s, &f) && truncate_float(f, &i)))
            *out = value_int(i);
    }
    return true;
}

static bool filter_float(struct render *r, struct value v, const struct args *a, struct value *out)
{
    double f;
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    if (v.type == VALUE_STR && !render_charge(r, CHARGE_SLOW * v.str->len)) return false;
    *out = a->pos[0].type == VALUE_MISSING ? value_float(0) : a->pos[0];
    if (value_is_number(v))
        *out = value_float(value_as_float(v));
    else if (v.type == VALUE_STR && parse_float_text((struct str){v.str->data, v.str->len}, &f))
        *out = value_float(f);
    return true;
}

/* Python's round(): halves to even, decided on the exact binary value (as printf does). */
static double round_digits(double f, int64_t digits)
{
    if (!isfinite(f) || digits > 300) return f;
    if (digits < -308) return copysign(0.0, f);
    if (digits < 0) {
        double unit = pow(10, (double)-digits);
        return nearbyint(f / unit) * unit;
    }
    char text[700]; /* 309 digits, a point, 300 digits */
    snprintf(text, sizeof(text), "%.*f", (int)digits, f);
    return strtod(text, NULL);
}

static bool round_int(struct render *r, int64_t v, int64_t digits, struct value *out)
{
    *out = value_int(v);
    if (digits >= 0) return true;
    if (digits < -18) {
        *out = value_int(0);
        return true;
    }
    int64_t unit = 1;
    for (int64_t i = digits; i < 0; i++) unit *= 10;
    int64_t low = v / unit * unit, rest = v - low;
    if (rest < 0) {
        low -= unit;
        rest += unit;
    }
    bool up = rest > unit - rest || (rest == unit - rest && (low / unit) % 2 != 0);
    if (up && __builtin_add_overflow(low, unit, &low))
        return render_fail(r, "the result does not fit in a 64-bit integer");
    *out = value_int(low);
    return true;
}

static bool filter_round(struct render *r, struct value v, const struct args *a, struct value *out)
{
    static const struct vstr common = {.data = "common", .len = 6, .n_chars = 6};
    const struct vstr *method = &common;
    int64_t precision;
    if (!arg_int(r, a->pos[0], 0, &precision)) return false;
    if (a->pos[1].type != VALUE_MISSING && !arg_str(r, a->pos[1], "method", &method)) return false;
    struct str m = {method->data, method->len};
    bool is_common = str_eq(m, STR("common")), is_ceil = str_eq(m, STR("ceil"));
    if (!is_common && !is_ceil && !str_eq(m, STR("floor")))
        return render_fail(r, "method must be common, ceil or floor");
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    if (!value_is_number(v))
        return render_fail(r, "type %s doesn't define __round__ method", value_type_name(v));
    if (is_common && v.type != VALUE_FLOAT) return round_int(r, value_as_int(v), precision, out);
    if (is_common) {
        *out = value_float(round_digits(v.f, precision));
        return true;
    }
    double unit = pow(10, (double)precision), scaled = value_as_float(v) * unit;
    if (!isfinite(scaled) || unit == 0) return render_fail(r, "the number cannot be rounded so");
    double whole = is_ceil ? ceil(scaled) : floor(scaled);
    *out = value_float((whole == 0 ? 0 : whole) / unit); /* Python's floor is an int: no -0 */
    return true;
}

static bool filter_filesizeformat(struct render *r, struct value v, const struct args *a,
                                  struct value *out)
{
    static const char prefixes[] = "kMGTPEZY";
    struct value f = value_missing();
    const struct args none = {.pos = (struct value[]){value_none()}, .n_pos = 1};
    if (!filter_float(r, v, &none, &f)) return false;
    if (f.type != VALUE_FLOAT) return render_fail(r, "filesizeformat needs a number");
    bool binary = arg_bool(a->pos[0], false);
    double base = binary ? 1024 : 1000, bytes = f.f;
    char text[400];
    if (bytes == 1) {
        snprintf(text, sizeof(text), "1 Byte");
    } else if (bytes < base) {
        snprintf(text, sizeof(text), "%lld Bytes", (long long)bytes);
    } else {
        size_t i = 0;
        double unit = base * base;
        for (; bytes >= unit && i < 7; i++) unit *= base;
        char letter = (char)(binary && i == 0 ? 'K' : prefixes[i]);
        snprintf(text, sizeof(text), "%.1f %c%sB", base * bytes / unit, letter, binary ? "i" : "");
    }
    return value_cstr(r, text, out);
}

static bool filter_default(struct render *r, struct value v, const struct args *a,
                           struct value *out)
{
    bool use = v.type == VALUE_UNDEFINED || (arg_bool(a->pos[1], false) && !value_truth(v));
    *out = v;
    if (!use) return true;
    *out = a->pos[0];
    return a->pos[0].type != VALUE_MISSING || value_str_view(r, "", 0, false, out);
}

static bool filter_attr(struct render *r, struct value v, const struct args *a, struct value *out)
{
    struct vstr *name;
    if (!value_to_str(r, a->pos[0], &name)) return false;
    if (v.type != VALUE_DICT) return get_attr(r, v, name, out);
    const struct method_def *def = method_find(v, (struct str){name->data, name->len});
    if (def) return get_attr(r, v, name, out);
    const struct vundef u = {UNDEF_ATTR, "dict", value_from_str(name), NULL};
    return value_undef(r, u, out);
}

static bool filter_length(struct render *r, struct value v, const struct args *a, struct value *out)
{
    (void)a;
    int64_t n = value_len(v);
    if (v.type == VALUE_LOOP) {
        static const struct vstr length = {.data = "length", .len = 6, .n_chars = 6};
        return loop_attr(r, v.loop, &length, out);
    }
    if (n < 0) return render_fail(r, "object of type '%s' has no len()", value_type_name(v));
    *out = value_int(n);
    return true;
}

const struct method_def number_filters[] = {
    {"abs", "/", 0, filter_abs},
    {"int", "default base", 0, filter_int},
    {"float", "default", 0, filter_float},
    {"round", "precision method", 0, filter_round},
    {"filesizeformat", "binary", 0, filter_filesizeformat},
    {"default", "default_value boolean", 0, filter_default},
    {"d", "default_value boolean", 0, filter_default},
    {"attr", "name", 1, filter_attr},
    {"length", "/", 0, filter_length},
    {"count", "/", 0, filter_length},
};
const size_t n_number_filters = ARRAY_LEN(number_filters);
