#ifndef CUDA_WEIGHT_H
#define CUDA_WEIGHT_H

/* weight.h - parameters: the entries of engine/backend.h that make, size and free them.  Rows go by way of
 * upload.h; quantisation runs on the device, with the CPU's bits.  When weight_prepare returns, copies may
 * be under way: their errors come with a later weight, or with the wait that ends reserve(). */

#include "cuda/cuda.h"

enum status cuda_weight_prepare(struct backend *be, const struct weight_source *src,
                                struct weight **out, struct error *err);
void cuda_weight_free(struct backend *be, struct weight *w);
size_t cuda_weight_size(const struct weight *w);
enum dtype cuda_activation_dtype(struct backend *be, const struct weight *w);
/* After the last weight: gives the upload's buffers and threads back. */
void cuda_weight_uploads_end(struct cuda_backend *cb);

#endif
