/* Threads that count what they do: calls of probed, markers, mmaps and munmaps.
 *
 *	counts ROUNDS    each thread does so many rounds; 0: until it is killed
 *	counts ROUNDS w  the same, once somebody has put a probe into probed
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if __has_include(<sys/sdt.h>)
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>
__extension__ unsigned short counts_round_semaphore __attribute__((section(".probes")));
#endif

enum { threads = 4, hits = 5, length = 0x5000 };
static long rounds;
struct count { long hits, maps, marks; };

__attribute__((noinline, visibility("default"))) int probed(int x) { __asm__ volatile("nop"); return x + 1; }

static void *work(void *arg)
{
	struct count *c = arg;
	for (long i = 0; i < rounds || rounds == 0; i++) {
		/* The length tells these mmaps from those of the C library. */
		char *p = mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p[0] = 1;
		for (int k = 0; k < hits; k++) {
			probed(k);
			c->hits++;
		}
		munmap(p, length);
		c->maps++;
#ifdef STAP_PROBE
		if (__atomic_load_n(&counts_round_semaphore, __ATOMIC_RELAXED)) {
			STAP_PROBE(counts, round);
			c->marks++;
		}
#endif
	}
	return 0;
}

/* A probe is a breakpoint in the code. It is there once the recorder has opened its
 * first event; the others take a while on a busy machine. */
static void wait_for_probe(void)
{
	char code[16];
	memcpy(code, (void *)probed, sizeof code);
	while (memcmp(code, (void *)probed, sizeof code) == 0)
		usleep(1000);
	sleep(4);
}

int main(int argc, char **argv)
{
	static struct count counts[threads];
	pthread_t t[threads];
	struct count sum = { 0 };
	rounds = argc > 1 ? atol(argv[1]) : 1;
	if (rounds == 0 && nice(10) < 0)
		perror("nice"); /* what waits for it to be recorded needs the CPUs */
	if (argc > 2)
		wait_for_probe();
	for (int i = 0; i < threads; i++)
		pthread_create(&t[i], 0, work, &counts[i]);
	for (int i = 0; i < threads; i++) {
		pthread_join(t[i], 0);
		sum.hits += counts[i].hits;
		sum.maps += counts[i].maps;
		sum.marks += counts[i].marks;
	}
	printf("pid %d hits %ld maps %ld marks %ld\n", getpid(), sum.hits, sum.maps, sum.marks);
	return 0;
}
