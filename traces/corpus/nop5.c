// The program of nop5.parquet: one thread hits a 5-byte nop in a loop, one maps, touches and
// unmaps 64 KiB.
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { LEN = 64 << 10 };

__attribute__((naked, noinline)) void site(void) { __asm__ volatile(".byte 0x0f,0x1f,0x44,0x00,0x00\n ret"); }

static volatile int stop;

static void *churn(void *unused) {
	while (!stop) {
		char *p = mmap(0, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p[0] = 1;
		munmap(p, LEN);
	}
	return unused;
}

int main(int argc, char **argv) {
	pthread_t mapper;
	pthread_create(&mapper, 0, churn, 0);
	for (int i = argc > 1 ? atoi(argv[1]) : 30000; i > 0; i--)
		site();
	stop = 1;
	pthread_join(mapper, 0);
	return 0;
}
