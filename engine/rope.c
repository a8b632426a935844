/* rope.c - inverse frequencies of rotary position embeddings.
 *
 * Sources: RoFormer (arXiv 2104.09864); position interpolation (arXiv 2306.15595, "linear");
 * NTK-aware scaling ("dynamic"); YaRN (arXiv 2309.00071) §3.2; Llama 3.1's published scaling.  The
 * formulas are those of Hugging Face transformers' modeling_rope_utils, which checkpoints are
 * made for. */

#include "config/base/check.h"
#include "engine/backend.h"

#include <math.h>

static void default_freq(double theta, int dim, double *inv_freq)
{
    for (int i = 0; i < dim / 2; i++) inv_freq[i] = pow(theta, -2.0 * i / dim);
}

static void dynamic_freq(const struct rope_params *p, int len, double *inv_freq)
{
    const double original = p->original_max_position;
    const double n = len > original ? len : original;
    const double stretch = p->factor * n / original - (p->factor - 1.0);
    default_freq(p->theta * pow(stretch, p->dim / (p->dim - 2.0)), p->dim, inv_freq);
}

/* Long wavelengths are interpolated, short ones kept, the band between is blended. */
static void llama3_freq(const struct rope_params *p, double *inv_freq)
{
    const double original = p->original_max_position;
    const double low_wavelength = original / p->low_freq_factor;
    const double high_wavelength = original / p->high_freq_factor;
    default_freq(p->theta, p->dim, inv_freq);
    for (int i = 0; i < p->dim / 2; i++) {
        const double wavelength = 2.0 * M_PI / inv_freq[i];
        if (wavelength < high_wavelength) continue;
        if (wavelength > low_wavelength) {
            inv_freq[i] /= p->factor;
            continue;
        }
        const double smooth = (original / wavelength - p->low_freq_factor) /
                              (p->high_freq_factor - p->low_freq_factor);
        inv_freq[i] = (1.0 - smooth) * inv_freq[i] / p->factor + smooth * inv_freq[i];
    }
}

/* The dimension whose wavelength turns `rotations` times within the original context. */
static double yarn_dimension(const struct rope_params *p, double rotations)
{
    return p->dim * log(p->original_max_position / (rotations * 2.0 * M_PI)) /
           (2.0 * log(p->theta));
}

static void yarn_freq(const struct rope_params *p, double *inv_freq)
{
    double low = yarn_dimension(p, p->beta_fast), high = yarn_dimension(p, p->beta_slow);
    if (p->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0.0);
    high = fmin(high, p->dim - 1.0);
    if (low == high) high += 0.001; /* no division by zero, as the reference has it */
    default_freq(p->theta, p->dim, inv_freq);
    for (int i = 0; i < p->dim / 2; i++) {
        const double ramp = fmin(fmax((i - low) / (high - low), 0.0), 1.0);
        inv_freq[i] = inv_freq[i] / p->factor * ramp + inv_freq[i] * (1.0 - ramp);
    }
}

double rope_inv_freq(const struct rope_params *p, int len, double *inv_freq)
{
    switch (p->type) {
    case ROPE_DEFAULT:
        default_freq(p->theta, p->dim, inv_freq);
        return 1.0;
    case ROPE_LINEAR:
        default_freq(p->theta, p->dim, inv_freq);
        for (int i = 0; i < p->dim / 2; i++) inv_freq[i] /= p->factor;
        return 1.0;
    case ROPE_DYNAMIC:
        dynamic_freq(p, len, inv_freq);
        return 1.0;
    case ROPE_LLAMA3:
        llama3_freq(p, inv_freq);
        return 1.0;
    case ROPE_YARN:
        yarn_freq(p, inv_freq);
        return p->attention_factor;
    }
    CHECK(!"rope type");
    return 1.0;
}

void rope_angles(const double *inv_freq, int dim, double factor, int position, float *out)
{
    const int half = dim / 2;
    for (int i = 0; i < half; i++) {
        const double angle = position * inv_freq[i];
        out[i] = (float)(cos(angle) * factor);
        out[half + i] = (float)(sin(angle) * factor);
    }
}
