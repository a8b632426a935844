/* A plug-in of another build: its interface has another number and a smaller step. */
#include "engine/plugin.h"

__attribute__((visibility("default"))) const struct plugin *inferd_plugin(void);

const struct plugin *inferd_plugin(void)
{
    static const struct plugin stale = {
        .abi = PLUGIN_ABI - 1, .step_size = sizeof(struct step) - 8, .version = "0.0.1"};
    return &stale;
}
