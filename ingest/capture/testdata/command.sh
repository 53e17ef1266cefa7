# As root, where the probed files are the same as here.
trap : INT # Ctrl-C ends the recording; what follows it is done all the same
echo 'p:replay/f /bin/app:0x1420' >> /sys/kernel/tracing/uprobe_events
echo 'r:replay/f_return /bin/app:0x1420' >> /sys/kernel/tracing/uprobe_events
echo 'p:replay/python_gc__start /bin/it'\''s:0x2000(0x5000)' >> /sys/kernel/tracing/uprobe_events
echo 'p:replay/python_gc__start_1 /bin/it'\''s:0x2100(0x5000)' >> /sys/kernel/tracing/uprobe_events
if [ -e /sys/kernel/tracing/kprobe_events ]; then # when each hit arrives
  echo 'p:replay/uprobe_notify_resume uprobe_notify_resume' >> /sys/kernel/tracing/kprobe_events
  arrive='-e replay:uprobe_notify_resume'
fi
perf record $arrive -k CLOCK_MONOTONIC -m 32M -d -o app.perf.data -e replay:f -e replay:f_return -e replay:python_gc__start -e replay:python_gc__start_1 -e syscalls:sys_enter_mmap -e syscalls:sys_exit_mmap -e syscalls:sys_enter_munmap -e syscalls:sys_exit_munmap -e syscalls:sys_enter_mprotect -e syscalls:sys_exit_mprotect -e syscalls:sys_enter_mremap -e syscalls:sys_exit_mremap -e syscalls:sys_enter_brk -e syscalls:sys_exit_brk -e syscalls:sys_enter_madvise -e syscalls:sys_exit_madvise -e sched:sched_process_fork -e sched:sched_process_exec -e sched:sched_process_exit -e mmap_lock:mmap_lock_start_locking/call-graph=fp,max-stack=16/ -e mmap_lock:mmap_lock_acquire_returned -e mmap_lock:mmap_lock_released -- ./app 'a b' 'it'\''s'
echo -:replay/f >> /sys/kernel/tracing/uprobe_events
echo -:replay/f_return >> /sys/kernel/tracing/uprobe_events
echo -:replay/python_gc__start >> /sys/kernel/tracing/uprobe_events
echo -:replay/python_gc__start_1 >> /sys/kernel/tracing/uprobe_events
[ -z "$arrive" ] || echo -:replay/uprobe_notify_resume >> /sys/kernel/tracing/kprobe_events
replay ingest -o app.parquet app.perf.data
