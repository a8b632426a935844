/* cuda/resources.h without nvcc: nothing is known. */
#include "cuda/resources.h"

const struct kernel_resources *cuda_resources(void)
{
    static const struct kernel_resources none[] = {{nullptr, nullptr, 0, 0, 0}};
    return none;
}
