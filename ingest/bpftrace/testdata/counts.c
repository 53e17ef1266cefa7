/* Threads that count what they do: calls of probed, mmaps and munmaps. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { threads = 4, length = 5 * 4096 }; /* no other mapping is as long */
static int rounds;

__attribute__((noinline)) int probed(int x) { __asm__ volatile("nop"); return x + 1; }

static void *work(void *arg)
{
	long *count = arg;
	for (int i = 0; i < rounds; i++) {
		void *p = mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		*(char *)p = 1;
		for (int k = 0; k < 5; k++)
			count[0] += probed(0);
		munmap(p, length);
		count[1]++;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static long counts[threads][2];
	pthread_t t[threads];
	rounds = argc > 1 ? atoi(argv[1]) : 1;
	for (int i = 0; i < threads; i++)
		pthread_create(&t[i], 0, work, counts[i]);
	long hits = 0, maps = 0;
	for (int i = 0; i < threads; i++) {
		pthread_join(t[i], 0);
		hits += counts[i][0];
		maps += counts[i][1];
	}
	printf("hits %ld maps %ld\n", hits, maps);
	return 0;
}
