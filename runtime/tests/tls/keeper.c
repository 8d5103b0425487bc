/* Registers destructors of thread-locals that belong to this library. */
extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;
static long word = 40;

/* `destructor` may be a function of another library, as those of C++'s library are. */
int keeper_register(void (*destructor)(void *)) {
    return __cxa_thread_atexit_impl(destructor, &word, &__dso_handle);
}
