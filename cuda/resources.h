#ifndef CUDA_RESOURCES_H
#define CUDA_RESOURCES_H

/* resources.h - what the compiler gave each kernel, from its own report (-Xptxas -v): the build makes
 * the table's source of it.  As host code the kernels have none. */

struct kernel_resources {
    const char *kernel; /* as a template's instance is written, without its namespace */
    const char *arch;   /* sm_80 and so on */
    int registers;      /* of a thread */
    int shared;         /* bytes of static shared memory of a block */
    int spills;         /* bytes a thread writes and reads of registers that it lacks */
};

#ifdef __cplusplus
extern "C" {
#endif
const struct kernel_resources *cuda_resources(void); /* the last one's kernel is NULL */
#ifdef __cplusplus
}
#endif

#endif
