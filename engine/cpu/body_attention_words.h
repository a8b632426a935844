/* body_attention_words.h - what body_attention_dot.h does with one vector of words, in the form that
 * the including file names by a macro of value 1:
 *   DOT_I8       int8, by instructions that add several products in a lane;
 *   DOT_WIDENED  bf16 without such an instruction: the two halves of a word are widened to f32, and
 *                multiplied one after the other;
 *   neither      bf16 by v_dot_bf16, which the file defines. */
#ifndef ENGINE_CPU_BODY_ATTENTION_WORDS_H
#define ENGINE_CPU_BODY_ATTENTION_WORDS_H

#ifndef DOT_I8
#define DOT_I8 0
#endif
#ifndef DOT_WIDENED
#define DOT_WIDENED 0
#endif
#define DOT_HALVES     (DOT_WIDENED ? 2 : 1) /* of a word, each against a word of queries or weights */
#define DOT_VALUE_SIZE (DOT_I8 ? 1 : 2)

#if DOT_I8
typedef veci dot_sum, dot_operand;

ALWAYS_INLINE dot_sum dot_zero(void)
{
    return vi_zero();
}
ALWAYS_INLINE void dot_store(float *p, dot_sum sum)
{
    vi_store(p, sum);
}
/* Sums that dot_store left at p. */
ALWAYS_INLINE vec dot_load(const float *p)
{
    return v_from_i32(vi_load(p));
}
ALWAYS_INLINE dot_operand dot_broadcast(const char *p)
{
    int32_t word;
    memcpy(&word, p, 4);
    return vi_set1(word);
}
ALWAYS_INLINE dot_operand dot_load_keys(const char *k, int half)
{
    (void)half;
    return vi_load(k);
}
ALWAYS_INLINE dot_sum dot_values(dot_sum sum, dot_operand v, dot_operand p)
{
    return vi_dot_i16(sum, v, p);
}
ALWAYS_INLINE dot_operand dot_load_values(const char *v, int half)
{
    (void)half;
    return vi_load_i8_pairs(v);
}
ALWAYS_INLINE dot_operand dot_load_values_mask(const char *v, vmask m, int half)
{
    (void)half;
    return vi_load_i8_pairs_mask(v, m);
}
#else
typedef vec dot_sum;

ALWAYS_INLINE dot_sum dot_zero(void)
{
    return v_zero();
}
ALWAYS_INLINE void dot_store(float *p, dot_sum sum)
{
    v_store(p, sum);
}
ALWAYS_INLINE vec dot_load(const float *p)
{
    return v_load(p);
}
#if DOT_WIDENED
typedef vec dot_operand;

ALWAYS_INLINE dot_operand dot_half(veci words, int half)
{
    return half ? v_bf16_high(words) : v_bf16_low(words);
}
ALWAYS_INLINE dot_operand dot_broadcast(const char *p)
{
    float x;
    memcpy(&x, p, 4);
    return v_set1(x);
}
ALWAYS_INLINE dot_sum dot_multiply(dot_sum sum, dot_operand w, dot_operand b)
{
    return v_fma(w, b, sum);
}
#else
typedef veci dot_operand;

ALWAYS_INLINE dot_operand dot_half(veci words, int half)
{
    (void)half;
    return words;
}
ALWAYS_INLINE dot_operand dot_broadcast(const char *p)
{
    int32_t word;
    memcpy(&word, p, 4);
    return vi_set1(word);
}
ALWAYS_INLINE dot_sum dot_multiply(dot_sum sum, dot_operand w, dot_operand b)
{
    return v_dot_bf16(sum, w, b);
}
#endif
ALWAYS_INLINE dot_operand dot_load_keys(const char *k, int half)
{
    return dot_half(vi_load(k), half);
}
ALWAYS_INLINE dot_sum dot_values(dot_sum sum, dot_operand v, dot_operand p)
{
    return dot_multiply(sum, v, p);
}
ALWAYS_INLINE dot_operand dot_load_values(const char *v, int half)
{
    return dot_half(vi_load(v), half);
}
ALWAYS_INLINE dot_operand dot_load_values_mask(const char *v, vmask m, int half)
{
    return dot_half(vi_load_mask(v, m), half);
}
#endif

#endif
