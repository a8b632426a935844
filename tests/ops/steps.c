int steps_run(const char *isa, int *n_run);
int steps_run(const char *isa, int *n_run)
{
    (void)isa;
    (void)n_run;
    return 0;
}
