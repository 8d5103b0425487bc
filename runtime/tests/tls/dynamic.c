/* Thread-locals that the loader allocates at the first access. */
__thread int dynamic_value = 55;
__thread char dynamic_filler[5000];

int dynamic_next(void) {
    dynamic_filler[4000] = 1;
    return dynamic_value++;
}
