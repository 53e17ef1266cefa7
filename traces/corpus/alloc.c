#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
long __attribute__((noinline)) work(long x){ __asm__ volatile("nop"); return x+1; }
static int ms; static double now(){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec*1e3+t.tv_nsec/1e6;}
static void*run(void*a){ unsigned long r=(long)a*77777+1; void*slot[256]={0}; double end=now()+ms; long n=0;
 while(now()<end) for(int k=0;k<50;k++){ r=r*6364136223846793005ul+1442695040888963407ul; int i=(r>>33)&255; free(slot[i]); size_t s=16+((r>>41)&((n%16)?4095:262143)); slot[i]=malloc(s); memset(slot[i],1,s<8192?s:8192); n=work(n);} 
 return 0; }
int main(int c,char**v){ int n=atoi(v[1]); ms=atoi(v[2]); pthread_t t[64]; for(long i=0;i<n;i++) pthread_create(&t[i],0,run,(void*)(i+1)); for(int i=0;i<n;i++) pthread_join(t[i],0); }
