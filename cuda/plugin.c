/* The one symbol that the shared object exports. */
#include "engine/plugin.h"

#include "cuda/cuda.h"
#include "cuda/plan.h"

__attribute__((visibility("default"))) const struct plugin *inferd_plugin(void);

const struct plugin *inferd_plugin(void)
{
    static const struct plugin plugin = {
        .abi = PLUGIN_ABI,
        .backend_size = sizeof(struct backend),
        .ops_size = sizeof(struct backend_ops),
        .step_size = sizeof(struct step),
        .limits_size = sizeof(struct backend_limits),
        .version = INFERD_VERSION,
        .open = cuda_backend_open,
        .print_plan = cuda_print_plan,
    };
    return &plugin;
}
