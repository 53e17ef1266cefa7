/* Functions of every kind that a probe may name. Each returns a number of its own,
 * so that the compiler does not make one of two. */
#define keep __attribute__((noinline, used))

keep int entry(void) { return 1; }
keep int old_way(void) { return 2; }
keep int new_way(void) { return 3; }
keep int lost_way(void) { return 6; }
keep static int hidden(void) { return 4; }

#ifdef VERSIONS
__asm__(".symver old_way, way@V_1");
__asm__(".symver new_way, way@@V_2");
__asm__(".symver lost_way, gone@V_1");
#endif

#ifdef INDIRECT
static int (*choose(void))(void) { return entry; }
int chosen(void) __attribute__((ifunc("choose")));
#endif

int data = 1;

#ifndef LIBRARY
int other(void);
int main(void) { return entry() + hidden() + other(); }
#endif
