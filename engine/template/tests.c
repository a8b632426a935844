/* tests.c - what may stand behind `is`. */

#include "config/base/check.h"
#include "engine/template/interp.h"

#include <math.h>
#include <string.h>
#include <utf8proc.h>

#define TEST(name_)                                                                  \
    static bool test_##name_(struct render *r, struct value v, const struct args *a, \
                             struct value *out)
#define ANSWER(holds_)             \
    do {                           \
        (void)r;                   \
        (void)a;                   \
        *out = value_bool(holds_); \
        return true;               \
    } while (0)

TEST(defined)
{
    ANSWER(v.type != VALUE_UNDEFINED);
}
TEST(undefined)
{
    ANSWER(v.type == VALUE_UNDEFINED);
}
TEST(none)
{
    ANSWER(v.type == VALUE_NONE);
}
TEST(boolean)
{
    ANSWER(v.type == VALUE_BOOL);
}
TEST(true)
{
    ANSWER(v.type == VALUE_BOOL && v.b);
}
TEST(false)
{
    ANSWER(v.type == VALUE_BOOL && !v.b);
}
TEST(integer)
{
    ANSWER(v.type == VALUE_INT);
}
TEST(float)
{
    ANSWER(v.type == VALUE_FLOAT);
}
TEST(number)
{
    ANSWER(value_is_number(v));
}
TEST(string)
{
    ANSWER(v.type == VALUE_STR);
}
TEST(mapping)
{
    ANSWER(v.type == VALUE_DICT);
}
TEST(sequence)
{
    bool has_items = v.type == VALUE_STR || v.type == VALUE_LIST || v.type == VALUE_TUPLE ||
                     v.type == VALUE_DICT || v.type == VALUE_RANGE || v.type == VALUE_UNDEFINED;
    ANSWER(has_items);
}
TEST(iterable)
{
    bool iterates = v.type == VALUE_STR || v.type == VALUE_LIST || v.type == VALUE_TUPLE ||
                    v.type == VALUE_DICT || v.type == VALUE_VIEW || v.type == VALUE_RANGE ||
                    v.type == VALUE_ITER || v.type == VALUE_UNDEFINED || v.type == VALUE_LOOP;
    ANSWER(iterates);
}
TEST(callable)
{
    ANSWER(v.type == VALUE_FUNC || v.type == VALUE_MACRO || v.type == VALUE_LOOP ||
           v.type == VALUE_JOINER || v.type == VALUE_BLOCK || v.type == VALUE_UNDEFINED);
}
TEST(escaped)
{
    ANSWER(v.type == VALUE_STR && v.str->markup);
}
TEST(sameas)
{
    ANSWER(value_is_same(v, a->pos[0]));
}

static bool remainder_is(struct render *r, struct value v, struct value divisor, int64_t want,
                         struct value *out)
{
    struct value rest;
    bool same;
    if (!binary_op(r, BINARY_MOD, v, divisor, &rest) || !value_eq(r, rest, value_int(want), &same))
        return false;
    *out = value_bool(same);
    return true;
}
TEST(odd)
{
    (void)a;
    return remainder_is(r, v, value_int(2), 1, out);
}
TEST(even)
{
    (void)a;
    return remainder_is(r, v, value_int(2), 0, out);
}
TEST(divisibleby)
{
    return remainder_is(r, v, a->pos[0], 0, out);
}

/* Some character has case, and none has the other one. */
static bool has_case(struct render *r, struct value v, bool upper, bool *out)
{
    struct vstr *s;
    if (!value_to_str(r, v, &s)) return false;
    bool any = false, other = false;
    for (size_t i = 0; i < s->len;) {
        uint32_t cp;
        i += text_next(s->data + i, s->len - i, &cp);
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
        any = any || k == (upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL);
        other = other || k == (upper ? UTF8PROC_CATEGORY_LL : UTF8PROC_CATEGORY_LU) ||
                k == UTF8PROC_CATEGORY_LT;
    }
    *out = any && !other;
    return render_charge(r, CHARGE_SLOW * s->len);
}
TEST(lower)
{
    bool holds;
    (void)a;
    if (!has_case(r, v, false, &holds)) return false;
    *out = value_bool(holds);
    return true;
}
TEST(upper)
{
    bool holds;
    (void)a;
    if (!has_case(r, v, true, &holds)) return false;
    *out = value_bool(holds);
    return true;
}

TEST(in)
{
    bool holds;
    if (!value_contains(r, a->pos[0], v, &holds)) return false;
    *out = value_bool(holds);
    return true;
}
TEST(eq)
{
    bool holds;
    if (!value_eq(r, v, a->pos[0], &holds)) return false;
    *out = value_bool(holds);
    return true;
}
TEST(ne)
{
    bool holds;
    if (!value_eq(r, v, a->pos[0], &holds)) return false;
    *out = value_bool(!holds);
    return true;
}

static bool ordered(struct render *r, enum compare_op op, struct value v, struct value other,
                    struct value *out)
{
    bool holds;
    if (v.type == VALUE_UNDEFINED) return undef_fail(r, v);
    if (other.type == VALUE_UNDEFINED) return undef_fail(r, other);
    if (!value_compare(r, op, v, other, &holds)) return false;
    *out = value_bool(holds);
    return true;
}
TEST(lt)
{
    return ordered(r, COMPARE_LT, v, a->pos[0], out);
}
TEST(le)
{
    return ordered(r, COMPARE_LE, v, a->pos[0], out);
}
TEST(gt)
{
    return ordered(r, COMPARE_GT, v, a->pos[0], out);
}
TEST(ge)
{
    return ordered(r, COMPARE_GE, v, a->pos[0], out);
}

/* A lookup in a dict of Jinja2's: what cannot be a key is an error. */
static bool check_key(struct render *r, struct value v)
{
    return value_hashable(v) || render_fail(r, "unhashable type: '%s'", value_type_name(v));
}
TEST(filter)
{
    if (!check_key(r, v)) return false;
    if (v.type != VALUE_STR) ANSWER(false);
    struct str name = {v.str->data, v.str->len};
    ANSWER(filter_find(name) || filter_is_refused(name));
}
TEST(test)
{
    if (!check_key(r, v)) return false;
    ANSWER(v.type == VALUE_STR && test_find((struct str){v.str->data, v.str->len}));
}

static const struct method_def tests[] = {
    {"defined", "", 0, test_defined},
    {"undefined", "", 0, test_undefined},
    {"none", "", 0, test_none},
    {"boolean", "", 0, test_boolean},
    {"true", "", 0, test_true},
    {"false", "", 0, test_false},
    {"integer", "", 0, test_integer},
    {"float", "", 0, test_float},
    {"number", "", 0, test_number},
    {"string", "", 0, test_string},
    {"mapping", "", 0, test_mapping},
    {"sequence", "", 0, test_sequence},
    {"iterable", "", 0, test_iterable},
    {"callable", "/", 0, test_callable},
    {"escaped", "", 0, test_escaped},
    {"sameas", "other", 1, test_sameas},
    {"odd", "", 0, test_odd},
    {"even", "", 0, test_even},
    {"divisibleby", "num", 1, test_divisibleby},
    {"lower", "", 0, test_lower},
    {"upper", "", 0, test_upper},
    {"in", "seq", 1, test_in},
    {"==", "/b", 1, test_eq},
    {"eq", "/b", 1, test_eq},
    {"equalto", "/b", 1, test_eq},
    {"!=", "/b", 1, test_ne},
    {"ne", "/b", 1, test_ne},
    {"<", "/b", 1, test_lt},
    {"lt", "/b", 1, test_lt},
    {"lessthan", "/b", 1, test_lt},
    {"<=", "/b", 1, test_le},
    {"le", "/b", 1, test_le},
    {">", "/b", 1, test_gt},
    {"gt", "/b", 1, test_gt},
    {"greaterthan", "/b", 1, test_gt},
    {">=", "/b", 1, test_ge},
    {"ge", "/b", 1, test_ge},
    {"filter", "", 0, test_filter},
    {"test", "", 0, test_test},
};

const struct method_def *test_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        if (str_eq(name, str_from(tests[i].name))) return &tests[i];
    return NULL;
}
