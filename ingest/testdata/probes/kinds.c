#include <stdio.h>
__attribute__((section(".probes"))) volatile unsigned short sema;
__attribute__((noinline)) int twice(int i){ __asm__ volatile(""); return i*2; }
__attribute__((noinline)) void site(void){
 __asm__ volatile("990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 992f-991f, 994f-993f, 3\n991: .asciz \"stapsdt\"\n992: .balign 4\n993: .8byte 990b\n.8byte 0\n.8byte sema\n.asciz \"textp\"\n.asciz \"site\"\n.asciz \"\"\n994: .balign 4\n.popsection\n");
}
int main(void){ int n=0; for(int i=0;i<100;i++){ n+=twice(i); if(sema) site(); } printf("%d %d\n", n, sema); return 0; }
