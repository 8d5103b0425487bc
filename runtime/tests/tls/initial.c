/* Thread-locals that must be at a fixed distance from the FS base. */
#define FIXED __attribute__((tls_model("initial-exec")))
__thread int initial_value FIXED = 77;
__thread char initial_zeroes[200] FIXED;

int initial_next(void) {
    for (int i = 0; i < 200; i++)
        if (initial_zeroes[i])
            return -1;
    return initial_value++;
}
