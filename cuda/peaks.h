#ifndef CUDA_PEAKS_H
#define CUDA_PEAKS_H

/* peaks.h - what a GPU does at best, from its clocks and widths: what times are held against.  Pure. */

#include "cuda/device.h"
#include "engine/backend.h"

#ifdef __cplusplus
extern "C" {
#endif
/* Bytes: both edges of the memory's clock over the whole bus.  Operations: dense ones of the tensor
 * cores (f32: of the others) with the sums' full width; 0 for an architecture that is not in the table. */
void device_peaks(const struct device_info *d, struct device_peaks *out);
#ifdef __cplusplus
}
#endif

#endif
