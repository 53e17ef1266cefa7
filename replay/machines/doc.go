// Package machines holds the profiles of known machines and reads those of
// others.
//
// A profile is a YAML (or JSON) file that gives every figure of a
// [Profile] together with where it comes from:
//
//	machine: my-server
//	about: one line for people
//	based_on: generic
//	sources:
//	  mlc: Intel Memory Latency Checker on our own machine, 2026-03
//	line:
//	  transfer_socket: {value: 51.1 ns, source: mlc, note: hit-modified on one socket}
//
// Figures that a profile does not give are those of the built-in profile it is
// based on; without based_on it must give them all. Times are written with their
// unit and taken exactly, cycles and permille are plain numbers.
//
// [Parse] refuses what it does not know, with the position in the file: a
// misspelt figure must not silently leave the default in place. [Profile.YAML]
// writes a profile out in full, so that it reads back as the same.
package machines
