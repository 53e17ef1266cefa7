// Package symbols names addresses of callchains from what is on this machine:
//
//   - kernel addresses from /proc/kallsyms, when this is the kernel of the
//     recording (the build ids agree), or from a file like it, shifted to where
//     the recorded one lay;
//   - user addresses from the ELF file that was mapped, when it is still the same
//     (the build ids agree), or from its separate debug file; inlined functions from
//     DWARF, where there is any;
//   - code of a just-in-time compiler from /tmp/perf-PID.map.
//
// Nothing is executed and nothing is downloaded. What cannot be named stays an
// address.
package symbols
