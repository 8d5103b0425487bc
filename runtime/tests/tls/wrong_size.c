/* Preloaded, it hides libc's own: the runtime then finds control blocks of an impossible size. */
unsigned int _thread_db_sizeof_pthread = 8;
