/* Built with -mtls-dialect=gnu2: at a fixed distance if there is room, else allocated. */
__thread int descriptor_value = 33;

int descriptor_next(void) { return descriptor_value++; }
