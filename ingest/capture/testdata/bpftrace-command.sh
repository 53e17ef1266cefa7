# As root, where the probed files are the same as here.
trap : INT # Ctrl-C ends the recording; what follows it is done all the same
cat > record.bt <<'END'
// Recorded with: bpftrace -o OUTPUT [-f json] THIS PROCESS
// A line per event: replay1 EVENT TIME CPU PID TID NAME=VALUE... comm=THREAD
BEGIN {
	printf("replay1 script clock=boottime comm=15\n");
	printf("replay1 recorded hit ret mmap munmap mprotect mremap brk madvise fork exec exit lock_start lock_acquired lock_released\n");
}

uprobe:/bin/app:f /@in[(uint64)pid]/ {
	printf("replay1 hit %llu %d %d %d addr=0x%llx probe=replay:f path=/bin/app comm=%-15s\n", nsecs, cpu, pid, tid, reg("ip"), comm);
}

uretprobe:/bin/app:f /@in[(uint64)pid]/ {
	printf("replay1 ret %llu %d %d %d probe=replay:f_return path=/bin/app comm=%-15s\n", nsecs, cpu, pid, tid, comm);
}

usdt:"/bin/it's":python:gc__start /@in[(uint64)pid]/ {
	printf("replay1 hit %llu %d %d %d addr=0x%llx probe=replay:python_gc__start path=/bin/it's comm=%-15s\n", nsecs, cpu, pid, tid, reg("ip"), comm);
}

tracepoint:syscalls:sys_enter_mmap /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_enter_mmap %llu %d %d %d addr=0x%llx len=0x%llx prot=0x%llx flags=0x%llx fd=0x%llx off=0x%llx comm=%-15s\n", nsecs, cpu, pid, tid, (uint64)args->addr, (uint64)args->len, (uint64)args->prot, (uint64)args->flags, (uint64)args->fd, (uint64)args->off, comm);
}

tracepoint:syscalls:sys_exit_mmap /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_exit_mmap %llu %d %d %d ret=%lld comm=%-15s\n", nsecs, cpu, pid, tid, (int64)args->ret, comm);
}

tracepoint:syscalls:sys_enter_munmap /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_enter_munmap %llu %d %d %d addr=0x%llx len=0x%llx comm=%-15s\n", nsecs, cpu, pid, tid, (uint64)args->addr, (uint64)args->len, comm);
}

tracepoint:syscalls:sys_exit_munmap /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_exit_munmap %llu %d %d %d ret=%lld comm=%-15s\n", nsecs, cpu, pid, tid, (int64)args->ret, comm);
}

tracepoint:syscalls:sys_enter_mprotect /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_enter_mprotect %llu %d %d %d start=0x%llx len=0x%llx prot=0x%llx comm=%-15s\n", nsecs, cpu, pid, tid, (uint64)args->start, (uint64)args->len, (uint64)args->prot, comm);
}

tracepoint:syscalls:sys_exit_mprotect /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_exit_mprotect %llu %d %d %d ret=%lld comm=%-15s\n", nsecs, cpu, pid, tid, (int64)args->ret, comm);
}

tracepoint:syscalls:sys_enter_mremap /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_enter_mremap %llu %d %d %d addr=0x%llx old_len=0x%llx new_len=0x%llx flags=0x%llx new_addr=0x%llx comm=%-15s\n", nsecs, cpu, pid, tid, (uint64)args->addr, (uint64)args->old_len, (uint64)args->new_len, (uint64)args->flags, (uint64)args->new_addr, comm);
}

tracepoint:syscalls:sys_exit_mremap /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_exit_mremap %llu %d %d %d ret=%lld comm=%-15s\n", nsecs, cpu, pid, tid, (int64)args->ret, comm);
}

tracepoint:syscalls:sys_enter_brk /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_enter_brk %llu %d %d %d brk=0x%llx comm=%-15s\n", nsecs, cpu, pid, tid, (uint64)args->brk, comm);
}

tracepoint:syscalls:sys_exit_brk /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_exit_brk %llu %d %d %d ret=%lld comm=%-15s\n", nsecs, cpu, pid, tid, (int64)args->ret, comm);
}

tracepoint:syscalls:sys_enter_madvise /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_enter_madvise %llu %d %d %d start=0x%llx len_in=0x%llx behavior=0x%llx comm=%-15s\n", nsecs, cpu, pid, tid, (uint64)args->start, (uint64)args->len_in, (uint64)args->behavior, comm);
}

tracepoint:syscalls:sys_exit_madvise /@in[(uint64)pid]/ {
	printf("replay1 syscalls:sys_exit_madvise %llu %d %d %d ret=%lld comm=%-15s\n", nsecs, cpu, pid, tid, (int64)args->ret, comm);
}

tracepoint:task:task_newtask /@in[(uint64)pid]/ {
	// A thread shares its process's entry, a new process gets its own (CLONE_THREAD).
	if ((args->clone_flags & 0x10000) == 0) {
		@in[(uint64)args->pid] = 1;
	}
	printf("replay1 sched:sched_process_fork %llu %d %d %d child_pid=%d flags=0x%llx comm=%-15s\n", nsecs, cpu, pid, tid, args->pid, args->clone_flags, comm);
}

// The process becomes the program.
tracepoint:sched:sched_process_exec /pid == (uint64)$1 || @in[(uint64)pid]/ {
	// A thread that is not the first takes the id of that one, which goes (de_thread).
	@in[(uint64)pid] = args->old_pid == args->pid ? 1 : 2;
	printf("replay1 sched:sched_process_exec %llu %d %d %d path=%s comm=%-15s\n", nsecs, cpu, pid, tid, str(args->filename), comm);
}

tracepoint:sched:sched_process_exit /@in[(uint64)pid]/ {
	printf("replay1 sched:sched_process_exit %llu %d %d %d comm=%-15s\n", nsecs, cpu, pid, tid, comm);
}

// When nothing of a process is left, its id may come again.
tracepoint:sched:sched_process_free /@in[(uint64)args->pid]/ {
	if (@in[(uint64)args->pid] == 2) {
		@in[(uint64)args->pid] = 1;
	} else {
		delete(@in[(uint64)args->pid]);
	}
}

END {
	clear(@in); // or it would be printed
}

tracepoint:mmap_lock:mmap_lock_start_locking /@in[(uint64)pid]/ {
	printf("replay1 mmap_lock:mmap_lock_start_locking %llu %d %d %d mm=0x%llx write=%d comm=%-15s%s", nsecs, cpu, pid, tid, (uint64)args->mm, args->write ? 1 : 0, comm, kstack(perf, 8));
}

tracepoint:mmap_lock:mmap_lock_acquire_returned /@in[(uint64)pid]/ {
	printf("replay1 mmap_lock:mmap_lock_acquire_returned %llu %d %d %d mm=0x%llx write=%d success=%d comm=%-15s\n", nsecs, cpu, pid, tid, (uint64)args->mm, args->write ? 1 : 0, args->success ? 1 : 0, comm);
}

tracepoint:mmap_lock:mmap_lock_released /@in[(uint64)pid]/ {
	printf("replay1 mmap_lock:mmap_lock_released %llu %d %d %d mm=0x%llx write=%d comm=%-15s\n", nsecs, cpu, pid, tid, (uint64)args->mm, args->write ? 1 : 0, comm);
}
END
mkfifo id ahead
{ read program < id; exec env BPFTRACE_PERF_RB_PAGES=8192 bpftrace -f json -o app.bpftrace.json record.bt $program; } & recorder=$!
{ while kill -0 $recorder && ! grep -q 'replay1 script' app.bpftrace.json; do sleep 0.1; done 2> /dev/null
  kill -0 $recorder && echo > ahead || : > ahead; } &
sh -c 'echo $$ > id; read go < ahead && exec "$@"' sh /bin/sh -c exit
sleep 2 # bpftrace drops what is in its buffers when it is interrupted
kill -INT $recorder
wait $recorder
rm id ahead
cat app.bpftrace.json | replay ingest --format bpftrace-json -o app.parquet -
