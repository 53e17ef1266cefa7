/* Markers as sys/sdt.h writes them: a note of type 3 with the address of the nop,
 * that of .stapsdt.base, and that of the semaphore, then three texts. MOVED is how
 * far prelink moved the program after the notes were written. */
#ifndef MOVED
#define MOVED 0
#endif
#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#if __SIZEOF_POINTER__ == 8
#define ADDRESS ".8byte "
#else
#define ADDRESS ".4byte "
#endif

#define MARKER(provider, name, semaphore)                                      \
	__asm__ volatile("990: nop\n"                                          \
			 ".pushsection .note.stapsdt,\"?\",\"note\"\n"         \
			 ".balign 4\n"                                         \
			 ".4byte 992f-991f, 994f-993f, 3\n"                    \
			 "991: .asciz \"stapsdt\"\n"                           \
			 "992: .balign 4\n"                                    \
			 "993: " ADDRESS "990b-" TEXT(MOVED) "\n"              \
			 ADDRESS "_.stapsdt.base-" TEXT(MOVED) "\n"            \
			 ADDRESS semaphore "\n"                                \
			 ".asciz \"" provider "\"\n"                           \
			 ".asciz \"" name "\"\n"                               \
			 ".asciz \"\"\n"                                       \
			 "994: .balign 4\n"                                    \
			 ".popsection\n")

__asm__(".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
	".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"
	"_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n.popsection\n");

unsigned short counted __attribute__((section(".probes"), used));

__attribute__((noinline, noclone)) void plain(void) { MARKER("app", "plain", "0"); }
__attribute__((noinline, noclone)) void watched(void) { MARKER("app", "watched", "counted-" TEXT(MOVED)); }
__attribute__((noinline, noclone)) void again(void) { MARKER("app", "plain", "0"); }

int main(void)
{
	plain();
	watched();
	again();
	return 0;
}
