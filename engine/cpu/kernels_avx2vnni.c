/* The integer linears of the table avx2_vnni: the tiles of AVX2 with vpdpbusd.  The rest of that table is
 * AVX2's own, so that this file alone needs the instructions. */
#include "engine/cpu/kernels.h"
#include "engine/cpu/quant4.h"

#include <string.h>

#include "engine/cpu/vec_avx2.h"

/* The bodies use the vectors, in this order. */
#include "engine/cpu/body_tiles.h"

#include "engine/cpu/body_linear8.h"

#include "engine/cpu/body_linear4.h"

_Static_assert(W8_FLIP == CPU_AVX2VNNI_W8_FLIP, "the table says how the weights are stored");

void cpu_avx2vnni_panel_i8(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    panel_i8(a, p, row0, row1, next);
}

void cpu_avx2vnni_panel_i4(const struct linear_args *a, int p, int row0, int row1, const void *next)
{
    panel_i4(a, p, row0, row1, next);
}
